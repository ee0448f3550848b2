/* The extensions that are in it. */
#include "php.h"
#include "php_main.h"
#include "zend_modules.h"

#include "ext/bcmath/php_bcmath.h"
#include "ext/calendar/php_calendar.h"
#include "ext/ctype/php_ctype.h"
#include "ext/date/php_date.h"
#include "ext/exif/php_exif.h"
#include "ext/filter/php_filter.h"
#include "ext/hash/php_hash.h"
#include "ext/iconv/php_iconv.h"
#include "ext/json/php_json.h"
#include "ext/mbstring/mbstring.h"
#include "ext/pcre/php_pcre.h"
#include "ext/random/php_random.h"
#include "ext/reflection/php_reflection.h"
#include "ext/session/php_session.h"
#include "ext/spl/php_spl.h"
#include "ext/standard/php_standard.h"
#include "ext/tokenizer/php_tokenizer.h"

/* Some look for others of these, so the order matters. */
static zend_module_entry *const extensions[] = {
    phpext_date_ptr,     phpext_pcre_ptr,     phpext_bcmath_ptr, phpext_calendar_ptr, phpext_ctype_ptr,  phpext_exif_ptr,
    phpext_filter_ptr,   phpext_hash_ptr,     phpext_iconv_ptr,  phpext_json_ptr,     phpext_mbstring_ptr, phpext_random_ptr,
    phpext_reflection_ptr, phpext_standard_ptr, phpext_spl_ptr,  phpext_session_ptr,  phpext_tokenizer_ptr,
};

PHPAPI int php_register_internal_extensions(void) {
    return php_register_extensions(extensions, sizeof extensions / sizeof *extensions);
}
