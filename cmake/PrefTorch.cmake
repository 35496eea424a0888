# SPDX-License-Identifier: Apache-2.0
# Imports the libraries of an installed torch wheel as `pref::torch`, without find_package(Torch): that is fatal for a
# CUDA wheel where no CUDA toolkit is installed, although a CPU program needs only libtorch_cpu and libc10.
#   PREF_TORCH_DIR   the folder `torch` of the wheel; asked from PREF_PYTHON (default: python3) when not given
# pref::torch_cuda and pref::c10_cuda exist where the wheel has them; no target of this file links them.
set(PREF_TORCH_VERSION 2.11)
set(PREF_PYTHON "" CACHE FILEPATH "The Python whose torch is used")
set(PREF_TORCH_DIR "" CACHE PATH "The folder `torch` of a torch wheel")

if(NOT PREF_TORCH_DIR)
  set(_python "${PREF_PYTHON}")
  if(NOT _python AND DEFINED ENV{VIRTUAL_ENV})
    set(_python "$ENV{VIRTUAL_ENV}/bin/python")
  endif()
  if(NOT _python)
    set(_python python3)
  endif()
  execute_process(
    COMMAND ${_python} -c
      "import importlib.util,os; s=importlib.util.find_spec('torch'); print(os.path.dirname(s.origin) if s else '')"
    OUTPUT_VARIABLE _torch_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT _torch_dir)
    message(FATAL_ERROR "[torch] ${_python} has no torch. Run cmake/bootstrap.sh, which installs "
      "torch ${PREF_TORCH_VERSION}, or pass -DPREF_PYTHON=<a Python with torch ${PREF_TORCH_VERSION}> or -DPREF_TORCH_DIR=<its torch folder>.")
  endif()
  set(PREF_TORCH_DIR "${_torch_dir}" CACHE PATH "The folder `torch` of a torch wheel" FORCE)
endif()

file(STRINGS "${PREF_TORCH_DIR}/version.py" _version_line REGEX "^__version__")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" Torch_VERSION "${_version_line}")
if(NOT Torch_VERSION MATCHES "^2\\.11\\.")
  message(FATAL_ERROR "[torch] ${PREF_TORCH_DIR} is torch ${Torch_VERSION}; libpref is written "
    "for torch ${PREF_TORCH_VERSION} (C++ interfaces change with every minor version).")
endif()
message(STATUS "torch ${Torch_VERSION}: ${PREF_TORCH_DIR}")

if(NOT TARGET pref::torch)
  foreach(library c10 torch_cpu)
    add_library(pref::${library} SHARED IMPORTED)
    set_target_properties(pref::${library} PROPERTIES IMPORTED_LOCATION "${PREF_TORCH_DIR}/lib/lib${library}.so")
  endforeach()
  add_library(pref::torch INTERFACE IMPORTED)
  set_target_properties(pref::torch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${PREF_TORCH_DIR}/include;${PREF_TORCH_DIR}/include/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1"
    INTERFACE_COMPILE_FEATURES cxx_std_20)
  target_link_libraries(pref::torch INTERFACE pref::torch_cpu pref::c10 "${PREF_TORCH_DIR}/lib/libgomp.so.1")
  # What a CUDA wheel has besides. Nothing is linked with it but libpref_ops of a CUDA build (PrefCuda.cmake), and never
  # libcuda or nvrtc: such a program must start where there is no driver.
  if(EXISTS "${PREF_TORCH_DIR}/lib/libtorch_cuda.so")
    foreach(library c10_cuda torch_cuda)
      add_library(pref::${library} SHARED IMPORTED)
      set_target_properties(pref::${library} PROPERTIES IMPORTED_LOCATION "${PREF_TORCH_DIR}/lib/lib${library}.so")
    endforeach()
  endif()
endif()
