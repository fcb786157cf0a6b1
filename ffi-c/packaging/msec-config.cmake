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

# What was written for the original is built with msec::compat, where its library was built.
if(EXISTS "${msec_prefix}/lib/libmsec_compat.a" AND NOT TARGET msec::compat)
  find_package(Protobuf REQUIRED)
  add_library(msec::compat STATIC IMPORTED)
  set_target_properties(msec::compat PROPERTIES
    IMPORTED_LOCATION "${msec_prefix}/lib/libmsec_compat.a"
    INTERFACE_INCLUDE_DIRECTORIES "${msec_prefix}/include/msec/compat"
    INTERFACE_LINK_LIBRARIES "msec::msec;${Protobuf_LIBRARIES}")
endif()
