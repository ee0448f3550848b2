/*
 * Other components of the app as classes: what exports `press:markdown/render` is `Press\Markdown\Render`, whose static methods have camelCase
 * names. A call that fails throws a `Watertight\ModuleError` with `kind` and `payload`; one with the wrong arguments, a TypeError.
 */

#include "modules.h"

#include "calls.h"

#include "zend_closures.h"
#include "zend_enum.h"
#include "zend_exceptions.h"
#include "zend_smart_str.h"

#include <ctype.h>

/* ---- values */

static bool write_value(struct cbor *out, zval *value, int depth);

static bool write_array(struct cbor *out, HashTable *array, bool record, int depth) {
    zend_string *name;
    zend_ulong index;
    zval *value;
    if (!record && zend_array_is_list(array)) {
        cbor_array(out, zend_hash_num_elements(array));
        ZEND_HASH_FOREACH_VAL(array, value) {
            if (!write_value(out, value, depth + 1)) return false;
        }
        ZEND_HASH_FOREACH_END();
        return true;
    }
    size_t count = 0;
    ZEND_HASH_FOREACH_STR_KEY_VAL_IND(array, name, value) {
        /* What is not public begins with a zero. */
        count += name == NULL || ZSTR_VAL(name)[0] != 0 || ZSTR_LEN(name) == 0;
    }
    ZEND_HASH_FOREACH_END();
    cbor_map(out, count);
    ZEND_HASH_FOREACH_KEY_VAL_IND(array, index, name, value) {
        if (name != NULL && ZSTR_VAL(name)[0] == 0 && ZSTR_LEN(name) > 0) continue;
        if (name != NULL) cbor_string(out, ZSTR_VAL(name), ZSTR_LEN(name));
        else cbor_integer(out, (zend_long)index);
        if (!write_value(out, value, depth + 1)) return false;
    }
    ZEND_HASH_FOREACH_END();
    return true;
}

static bool write_object(struct cbor *out, zend_object *object, int depth) {
    if (object->ce->ce_flags & ZEND_ACC_ENUM) {
        zval *named = object->ce->enum_backing_type == IS_STRING ? zend_enum_fetch_case_value(object) : zend_enum_fetch_case_name(object);
        cbor_string(out, Z_STRVAL_P(named), Z_STRLEN_P(named));
        return true;
    }
    if (object->ce == zend_ce_closure) return false;
    return write_array(out, object->handlers->get_properties(object), true, depth);
}

static bool write_value(struct cbor *out, zval *value, int depth) {
    if (depth > CBOR_DEPTH) return false;
    ZVAL_DEREF(value);
    switch (Z_TYPE_P(value)) {
    case IS_UNDEF: case IS_NULL: cbor_null(out); return true;
    case IS_FALSE: case IS_TRUE: cbor_bool(out, Z_TYPE_P(value) == IS_TRUE); return true;
    case IS_LONG: cbor_integer(out, Z_LVAL_P(value)); return true;
    case IS_DOUBLE: cbor_real(out, Z_DVAL_P(value)); return true;
    case IS_STRING: cbor_string(out, Z_STRVAL_P(value), Z_STRLEN_P(value)); return true;
    case IS_ARRAY: return write_array(out, Z_ARRVAL_P(value), false, depth);
    case IS_OBJECT: return write_object(out, Z_OBJ_P(value), depth);
    }
    return false;
}

static void read_value(zval *into, struct text *from) {
    struct item item = cbor_next(from);
    switch (item.kind) {
    case CBOR_INTEGER: case CBOR_WIDE: {
        bool fits = item.number <= (uint64_t)ZEND_LONG_MAX;
        if (fits) ZVAL_LONG(into, item.negative ? -1 - (zend_long)item.number : (zend_long)item.number);
        /* As PHP does with numbers that are too large. */
        else ZVAL_DOUBLE(into, item.negative ? -1.0 - (double)item.number : (double)item.number);
        return;
    }
    case CBOR_BYTES: case CBOR_TEXT: ZVAL_STRINGL(into, item.text.data, item.text.len); return;
    case CBOR_BOOL: ZVAL_BOOL(into, item.number != 0); return;
    case CBOR_FLOAT: ZVAL_DOUBLE(into, item.real); return;
    case CBOR_ARRAY: case CBOR_MAP:
        array_init(into);
        for (uint64_t i = 0; i < item.number; i++) {
            zval key, value;
            ZVAL_UNDEF(&key);
            if (item.kind == CBOR_MAP) read_value(&key, from);
            read_value(&value, from);
            if (Z_TYPE(key) == IS_UNDEF) {
                add_next_index_zval(into, &value);
                continue;
            }
            if (!item.is_map && Z_TYPE(key) == IS_STRING)
                for (size_t n = 0; n < Z_STRLEN(key); n++)
                    if (Z_STRVAL(key)[n] == '-') Z_STRVAL(key)[n] = '_';
            array_set_zval_key(Z_ARRVAL_P(into), &key, &value);
            zval_ptr_dtor(&value);
            zval_ptr_dtor(&key);
        }
        return;
    case CBOR_NULL: case CBOR_END: break;
    }
    ZVAL_NULL(into);
}

/* ---- calls */

static void throw(struct failure *failure) {
    zend_string *message = zend_string_init(failure->message.data, failure->message.len, 0);
    bool mistake = failure->kind.len == 4 && memcmp(failure->kind.data, "type", 4) == 0;
    zend_string *name = zend_string_init(ZEND_STRL("Watertight\\ModuleError"), 0);
    zend_class_entry *class = mistake ? NULL : zend_lookup_class(name);
    zend_string_release(name);
    if (class == NULL) {
        zend_type_error("%s", ZSTR_VAL(message));
    } else {
        zval error, payload;
        object_init_ex(&error, class);
        ZVAL_NULL(&payload);
        struct text from = failure->payload;
        if (from.len > 0) read_value(&payload, &from);
        zend_update_property_str(zend_ce_exception, Z_OBJ(error), ZEND_STRL("message"), message);
        zend_update_property_stringl(class, Z_OBJ(error), ZEND_STRL("kind"), failure->kind.data, failure->kind.len);
        zend_update_property(class, Z_OBJ(error), ZEND_STRL("payload"), &payload);
        zval_ptr_dtor(&payload);
        zend_throw_exception_object(&error);
    }
    zend_string_release(message);
}

ZEND_BEGIN_ARG_INFO_EX(call_arguments, 0, 0, 3)
    ZEND_ARG_INFO(0, module)
    ZEND_ARG_INFO(0, function)
    ZEND_ARG_INFO(0, arguments)
ZEND_END_ARG_INFO()

ZEND_FUNCTION(watertight_call) {
    zend_string *module, *function;
    zval *given;
    ZEND_PARSE_PARAMETERS_START(3, 3)
        Z_PARAM_STR(module)
        Z_PARAM_STR(function)
        Z_PARAM_ARRAY(given)
    ZEND_PARSE_PARAMETERS_END();
    struct cbor arguments = {0};
    if (!write_array(&arguments, Z_ARRVAL_P(given), false, 0)) {
        cbor_free(&arguments);
        zend_type_error("a function, a resource or what is nested so deep cannot be given to another component");
        RETURN_THROWS();
    }
    struct failure failure;
    struct text from = {ZSTR_VAL(module), ZSTR_LEN(module)}, name = {ZSTR_VAL(function), ZSTR_LEN(function)};
    struct text result = module_call(from, name, &arguments, &failure);
    cbor_free(&arguments);
    struct text rest = result;
    if (failure.kind.data != NULL) throw(&failure);
    else read_value(return_value, &rest);
    module_free(result, &failure);
}

const zend_function_entry module_functions[] = {
    ZEND_FE(watertight_call, call_arguments)
    ZEND_FE_END
};

/* ---- classes */

/* `press:markdown/render` as Press\Markdown\Render: the namespace, and where the class begins in it. */
static size_t class_name(struct text module, char *into) {
    size_t n = 0, last = 0;
    bool raise = true;
    for (size_t i = 0; i < module.len; i++) {
        char letter = module.data[i];
        if (letter == ':' || letter == '/') {
            into[n++] = '\\';
            last = n;
            raise = true;
        } else if (letter == '-') {
            raise = true;
        } else {
            into[n++] = raise ? (char)toupper((unsigned char)letter) : letter;
            raise = false;
        }
    }
    into[n] = 0;
    return last;
}

static void run(const char *code, size_t len) {
    zend_try {
        zend_eval_stringl(code, len, NULL, "watertight");
    }
    zend_end_try();
    /* A name that PHP has for something else: there is no such class. */
    if (EG(exception)) zend_clear_exception();
}

static void define(struct text module, struct text from) {
    char *name = emalloc(module.len + 1), *camel;
    size_t class = class_name(module, name);
    smart_str code = {0};
    if (class > 0) {
        smart_str_appends(&code, "namespace ");
        smart_str_appendl(&code, name, class - 1);
        smart_str_appends(&code, "; ");
    }
    smart_str_appends(&code, "final class ");
    smart_str_appends(&code, name + class);
    smart_str_appends(&code, " { ");
    uint64_t count = cbor_next(&from).number;
    for (uint64_t i = 0; i < count; i++) {
        struct text function = cbor_next(&from).text;
        camel = emalloc(function.len + 1);
        camel[name_camel(function, camel)] = 0;
        smart_str_appends(&code, "public static function ");
        smart_str_appends(&code, camel);
        smart_str_appends(&code, "(mixed ...$arguments): mixed { return \\watertight_call('");
        smart_str_appendl(&code, module.data, module.len);
        smart_str_appends(&code, "', '");
        smart_str_appendl(&code, function.data, function.len);
        smart_str_appends(&code, "', \\array_values($arguments)); } ");
        efree(camel);
        uint64_t facts = cbor_next(&from).number;
        for (uint64_t n = 0; n < facts; n++) {
            cbor_next(&from);
            struct item fact = cbor_next(&from);
            for (uint64_t p = 0; fact.kind == CBOR_ARRAY && p < fact.number; p++) cbor_next(&from);
        }
    }
    smart_str_appends(&code, "}");
    smart_str_0(&code);
    run(ZSTR_VAL(code.s), ZSTR_LEN(code.s));
    smart_str_free(&code);
    efree(name);
}

void modules_begin(void) {
    static const char error[] = "namespace Watertight; class ModuleError extends \\Exception { public string $kind = ''; public mixed $payload = null; }";
    struct text name, found;
    for (size_t place = 0; (found = module_at(place, &name)).data != NULL; place++) {
        if (place == 0) run(error, sizeof error - 1);
        /* Its name with a version would be none of a class. */
        if (memchr(name.data, '@', name.len) == NULL) define(name, found);
    }
}
