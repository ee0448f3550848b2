#include "php_config.h"
