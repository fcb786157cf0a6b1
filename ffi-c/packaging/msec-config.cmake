# find_package(msec) finds the shared library as msec::msec, and the static one as msec::static.
get_filename_component(msec_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_package(Threads REQUIRED)
if(NOT TARGET msec::msec)
  add_library(msec::msec SHARED IMPORTED)
  set_target_properties(msec::msec PROPERTIES
    IMPORTED_LOCATION "${msec_prefix}/lib/libmsec.so"
    IMPORTED_SONAME "libmsec.so.0"
    INTERFACE_INCLUDE_DIRECTORIES "${msec_prefix}/include"
    INTERFACE_LINK_LIBRARIES Threads::Threads)
  add_library(msec::static STATIC IMPORTED)
  set_target_properties(msec::static PROPERTIES
    IMPORTED_LOCATION "${msec_prefix}/lib/libmsec.a"
    INTERFACE_INCLUDE_DIRECTORIES "${msec_prefix}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;gcc_s;m;${CMAKE_DL_LIBS}")
endif()
