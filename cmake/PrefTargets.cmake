# SPDX-License-Identifier: Apache-2.0
# One function per kind of target, so that flags, standards and run paths stand in one place.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(PREF_CCACHE ccache)
if(PREF_CCACHE)
  # The sloppiness that ccache needs to cache files compiled against a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${PREF_CCACHE})
endif()
find_program(PREF_MOLD mold)
if(PREF_MOLD AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12.1)  # g++ and clang alike
  add_link_options(-fuse-ld=mold)
endif()

function(pref_flags target)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  set(warnings -Wall -Wextra -Wno-missing-field-initializers
    # False reports of g++ 12 on std::string (GCC bug 105651), the last two where its header is precompiled.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-stringop-overflow;-Wno-array-bounds>
    $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-braces>
    $<$<BOOL:${PREF_WERROR}>:-Werror>)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
  if(PREF_SANITIZE)
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${PREF_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=undefined>")
    target_link_options(${target} PUBLIC -fsanitize=${PREF_SANITIZE})
  endif()
endfunction()

# Sources of one folder. CONFIGURE_DEPENDS: a new file is built without touching a list.
function(pref_sources out folder)
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cpp")
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# A layer that must not see torch: static, position-independent, also compiled by the fuzz builds.
function(pref_torch_free_library target folder)
  pref_sources(sources ${folder})
  add_library(${target} STATIC ${sources})
  pref_flags(${target})
  target_link_libraries(${target} PUBLIC Threads::Threads ${ARGN})
endfunction()

# A test executable from one folder of tests/; gtest's main, one CTest entry per executable. Tests are not optimised,
# for compile time; what they test has flags of its own. OPTIMIZED: a test that computes much itself.
function(pref_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OPTIMIZED" "" "")
  pref_sources(sources "${CMAKE_CURRENT_SOURCE_DIR}/${name}")
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  pref_flags(test_${name})
  target_compile_definitions(test_${name} PRIVATE PREF_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(NOT arg_OPTIMIZED)
    target_compile_options(test_${name} PRIVATE $<$<CONFIG:Release>:-O0>)
  endif()
  target_link_libraries(test_${name} PRIVATE ${arg_UNPARSED_ARGUMENTS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)
endfunction()

# One precompiled header for several targets of equal flags and definitions: the first makes it, the others read it.
function(pref_precompiled target header group)
  if(NOT PREF_PCH)
    return()
  endif()
  set_target_properties(${target} PROPERTIES DEFINE_SYMBOL "")
  get_property(first GLOBAL PROPERTY pref_pch_${group})
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/${header}")
    set_property(GLOBAL PROPERTY pref_pch_${group} ${target})
  endif()
endfunction()

# A test executable that sees no torch.
function(pref_torch_free_test name)
  pref_test(${name} ${ARGN})
  if(TARGET test_${name} AND NOT "OPTIMIZED" IN_LIST ARGN)
    pref_precompiled(test_${name} pref_test_pch.h test)
  endif()
endfunction()

# A library or program that sees torch, with the wheel's run path. at::parallel_for is a template that runs serially
# in sources compiled without OpenMP; the run time is the one that torch brings (same soname).
function(pref_torch_facing target)
  pref_flags(${target})
  target_compile_options(${target} PRIVATE -fopenmp)
  target_link_libraries(${target} PUBLIC pref::torch)
  set_target_properties(${target} PROPERTIES
    BUILD_RPATH "${CMAKE_BINARY_DIR}/lib;${PREF_TORCH_DIR}/lib"
    INSTALL_RPATH "$ORIGIN/../lib;$ORIGIN;${PREF_TORCH_DIR}/lib")
  if("PCH" IN_LIST ARGN)
    pref_precompiled(${target} pref_torch_pch.h torch)
  endif()
endfunction()

# A test executable that sees torch.
function(pref_torch_test name)
  pref_test(${name} ${ARGN})
  if(TARGET test_${name})
    pref_torch_facing(test_${name})
    pref_precompiled(test_${name} pref_torch_test_pch.h torch_test)
  endif()
endfunction()
