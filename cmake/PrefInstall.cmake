# SPDX-License-Identifier: Apache-2.0
# `cmake --install`: headers, the two libraries, and a package for find_package(libpref). The targets themselves are
# listed for installation where they are made. Programs are installed by examples/CMakeLists.txt.
include(CMakePackageConfigHelpers)

# The tree keeps its shape under include/, for includes are written from the root. Headers that need a parser of ours
# to compile (nlohmann/json) are private.
install(DIRECTORY "${PROJECT_SOURCE_DIR}/libpref" DESTINATION include FILES_MATCHING PATTERN "*.h"
        PATTERN "json_lines.h" EXCLUDE PATTERN "strict_json.h" EXCLUDE PATTERN "config_families.h" EXCLUDE
        PATTERN "manifest_text.h" EXCLUDE PATTERN "json_place.h" EXCLUDE PATTERN "json_parts.h" EXCLUDE)
file(GLOB kernel_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/kernels/*.h")
install(FILES ${kernel_headers} DESTINATION include/kernels)
file(GLOB cuda_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/kernels/cuda/*.h")
install(FILES ${cuda_headers} DESTINATION include/kernels/cuda)

set(package_dir lib/cmake/libpref)
install(EXPORT libprefTargets NAMESPACE pref:: DESTINATION ${package_dir})
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/PrefConfig.cmake.in" "${PROJECT_BINARY_DIR}/libprefConfig.cmake"
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/libprefConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/libprefConfig.cmake" "${PROJECT_BINARY_DIR}/libprefConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/PrefTorch.cmake"
        DESTINATION ${package_dir})
