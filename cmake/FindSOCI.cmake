# Debian's libsoci-dev has no CMake config. Gives SOCI::core, SOCI::mysql and SOCI::sqlite3.
find_path(SOCI_INCLUDE_DIR soci/soci.h)
find_path(MYSQL_INCLUDE_DIR mysql.h PATH_SUFFIXES mariadb mysql)
find_library(SOCI_CORE_LIBRARY soci_core)
find_library(SOCI_MYSQL_LIBRARY soci_mysql)
find_library(SOCI_SQLITE3_LIBRARY soci_sqlite3)
find_library(MYSQL_LIBRARY NAMES mariadb mysqlclient)
find_library(SQLITE3_LIBRARY sqlite3)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  SOCI REQUIRED_VARS SOCI_CORE_LIBRARY SOCI_MYSQL_LIBRARY SOCI_SQLITE3_LIBRARY MYSQL_LIBRARY
                     SQLITE3_LIBRARY SOCI_INCLUDE_DIR MYSQL_INCLUDE_DIR)

if(SOCI_FOUND AND NOT TARGET SOCI::core)
  add_library(SOCI::core UNKNOWN IMPORTED)
  set_target_properties(
    SOCI::core PROPERTIES IMPORTED_LOCATION "${SOCI_CORE_LIBRARY}"
                          INTERFACE_INCLUDE_DIRECTORIES "${SOCI_INCLUDE_DIR}")
  add_library(SOCI::mysql UNKNOWN IMPORTED)
  set_target_properties(
    SOCI::mysql
    PROPERTIES IMPORTED_LOCATION "${SOCI_MYSQL_LIBRARY}"
               INTERFACE_INCLUDE_DIRECTORIES "${MYSQL_INCLUDE_DIR}"
               INTERFACE_LINK_LIBRARIES "SOCI::core;${MYSQL_LIBRARY}")
  add_library(SOCI::sqlite3 UNKNOWN IMPORTED)
  set_target_properties(
    SOCI::sqlite3 PROPERTIES IMPORTED_LOCATION "${SOCI_SQLITE3_LIBRARY}"
                             INTERFACE_LINK_LIBRARIES "SOCI::core;${SQLITE3_LIBRARY}")
endif()
