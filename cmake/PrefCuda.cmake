# SPDX-License-Identifier: Apache-2.0
# Decides whether CUDA kernels are built: PREF_CUDA = ON needs nvcc and a torch of the same CUDA major version, AUTO takes
# them where they are, OFF never asks. A process has one CUDA run time, the shared one that torch brings; a driver is
# needed neither to build nor to start.
set(PREF_CUDA_ARCHS "80-real;89-real;90a-real;100-real;120" CACHE STRING "CUDA architectures, as CMake names them")
set(PREF_HAS_CUDA OFF)

# What stands against CUDA kernels, or empty. Enables the language where nvcc is.
macro(_pref_find_cuda obstacle)
  set(${obstacle} "")
  if(PREF_TORCH)
    file(STRINGS "${PREF_TORCH_DIR}/version.py" _cuda_line REGEX "^cuda")
    string(REGEX MATCH "'([0-9]+)\\.[0-9]+'" _cuda "${_cuda_line}")
    set(_torch_cuda "${CMAKE_MATCH_1}")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(${obstacle} "nvcc, and none was found. Install a CUDA toolkit or set CUDACXX")
  elseif(PREF_TORCH AND NOT TARGET pref::torch_cuda)
    set(${obstacle} "a torch with CUDA, and ${PREF_TORCH_DIR} has none. Install a CUDA wheel")
  else()
    set(CMAKE_CUDA_ARCHITECTURES ${PREF_CUDA_ARCHS})
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    if(PREF_TORCH AND NOT _torch_cuda STREQUAL CUDAToolkit_VERSION_MAJOR)
      set(${obstacle} "nvcc ${_torch_cuda}, the CUDA of this torch, and ${CMAKE_CUDA_COMPILER} is ${CUDAToolkit_VERSION}. Set CUDACXX")
    endif()
  endif()
endmacro()

if(NOT PREF_CUDA STREQUAL "OFF")
  _pref_find_cuda(_obstacle)
  if(NOT _obstacle)
    set(PREF_HAS_CUDA ON)
  elseif(PREF_CUDA STREQUAL "ON")
    message(FATAL_ERROR "[cuda] PREF_CUDA=ON needs ${_obstacle}, or configure with -DPREF_CUDA=OFF.")
  endif()
endif()
message(STATUS "CUDA kernels: ${PREF_HAS_CUDA}")
if(NOT PREF_HAS_CUDA)
  return()
endif()

# CMake 3.25 knows no C++20 for nvcc; the objectives that a kernel calls are C++20.
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION OR CMAKE_CUDA20_STANDARD_COMPILE_OPTION STREQUAL "")
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# Whatever links a kernel names the run time (pref::cudart); CMake would add the static one to every link.
set(CMAKE_CUDA_RUNTIME_LIBRARY None)

# The wheel's run time, whose folder so enters the run path; where torch has none of its own it uses the toolkit's.
add_library(pref::cudart INTERFACE IMPORTED)
set(_cudart "")
if(PREF_TORCH)
  file(GLOB _cudart "${PREF_TORCH_DIR}/../nvidia/*/lib/libcudart.so.${CUDAToolkit_VERSION_MAJOR}"
       "${PREF_TORCH_DIR}/lib/libcudart.so.${CUDAToolkit_VERSION_MAJOR}")
endif()
if(_cudart)
  list(GET _cudart 0 _cudart)
  get_filename_component(_cudart "${_cudart}" ABSOLUTE)
  get_filename_component(PREF_CUDART_DIR "${_cudart}" DIRECTORY)
  target_link_libraries(pref::cudart INTERFACE "${_cudart}")
else()
  set(PREF_CUDART_DIR "${CUDAToolkit_LIBRARY_DIR}")
  target_link_libraries(pref::cudart INTERFACE CUDA::cudart)
endif()
message(STATUS "CUDA run time: ${PREF_CUDART_DIR}")

# A library that nothing calls by name and that is loaded all the same: torch's CUDA back end registers itself.
set(CMAKE_LINK_LIBRARY_USING_pref_kept "LINKER:--push-state,--no-as-needed" "<LINK_ITEM>" "LINKER:--pop-state")
set(CMAKE_LINK_LIBRARY_USING_pref_kept_SUPPORTED TRUE)

# A target with .cu sources: no torch in them.
function(pref_cuda_flags target)
  set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${PREF_CUDA_ARCHS}")
  target_compile_options(${target} PRIVATE
    "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${PREF_WERROR}>>:SHELL:-Werror all-warnings>")
  target_link_libraries(${target} PUBLIC $<LINK_ONLY:pref::cudart>)
endfunction()

# The one library that brings CUDA into a process. Its run path goes before LD_LIBRARY_PATH (as torch's own do), where
# many machines name a toolkit: whichever run time loads first serves torch as well.
function(pref_cuda_library target)
  target_link_libraries(${target} PRIVATE pref::cudart $<LINK_LIBRARY:pref_kept,pref::torch_cuda,pref::c10_cuda>)
  target_link_options(${target} PRIVATE LINKER:--disable-new-dtags)
  set_property(TARGET ${target} APPEND PROPERTY BUILD_RPATH "${PREF_CUDART_DIR}")
  set_property(TARGET ${target} APPEND PROPERTY INSTALL_RPATH "${PREF_CUDART_DIR}")
endfunction()
