/*
 * Other components of the app as ES modules: `import { render } from "press:markdown/render"`. A module's functions have camelCase names.
 * A call that fails throws an Error with `kind` and `payload`; one with the wrong arguments, a TypeError.
 */

#include "modules.h"

#include "calls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values */

static bool write_value(JSContext *ctx, struct cbor *out, JSValueConst value, int depth);

static bool refuse(JSContext *ctx, const char *what) {
    JS_ThrowTypeError(ctx, "%s cannot be given to another component", what);
    return false;
}

static void write_number(struct cbor *out, double number) {
    if (number == trunc(number) && fabs(number) <= 9007199254740991.0 && !(number == 0 && signbit(number))) cbor_integer(out, (int64_t)number);
    else cbor_real(out, number);
}

static bool write_bigint(JSContext *ctx, struct cbor *out, JSValueConst value) {
    int64_t with_sign = 0;
    uint64_t without = 0;
    JS_ToBigInt64(ctx, &with_sign, value);
    JS_ToBigUint64(ctx, &without, value);
    JSValue same[] = {JS_NewBigInt64(ctx, with_sign), JS_NewBigUint64(ctx, without)};
    bool fits[] = {JS_IsStrictEqual(ctx, same[0], value), JS_IsStrictEqual(ctx, same[1], value)};
    JS_FreeValue(ctx, same[0]);
    JS_FreeValue(ctx, same[1]);
    if (fits[0]) cbor_integer(out, with_sign);
    else if (fits[1]) cbor_unsigned(out, without);
    else return refuse(ctx, "a BigInt of more than 64 bits");
    return true;
}

/* Anything with a length. */
static bool write_list(JSContext *ctx, struct cbor *out, JSValueConst list, int depth) {
    int64_t len = 0;
    if (JS_GetLength(ctx, list, &len) < 0) return false;
    cbor_array(out, (size_t)len);
    for (int64_t i = 0; i < len; i++) {
        JSValue element = JS_GetPropertyInt64(ctx, list, i);
        bool good = !JS_IsException(element) && write_value(ctx, out, element, depth + 1);
        JS_FreeValue(ctx, element);
        if (!good) return false;
    }
    return true;
}

/* A Map or a Set: Array.from knows what is in it. */
static bool write_collection(JSContext *ctx, struct cbor *out, JSValueConst collection, int depth) {
    JSValue global = JS_GetGlobalObject(ctx), array = JS_GetPropertyStr(ctx, global, "Array");
    JSAtom from = JS_NewAtom(ctx, "from");
    JSValue list = JS_Invoke(ctx, array, from, 1, &collection);
    JS_FreeAtom(ctx, from);
    JS_FreeValue(ctx, array);
    JS_FreeValue(ctx, global);
    bool good = !JS_IsException(list) && write_list(ctx, out, list, depth);
    JS_FreeValue(ctx, list);
    return good;
}

static bool write_record(JSContext *ctx, struct cbor *out, JSValueConst object, int depth) {
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNames(ctx, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) return false;
    cbor_map(out, count);
    bool good = true;
    for (uint32_t i = 0; good && i < count; i++) {
        size_t len;
        const char *name = JS_AtomToCStringLen(ctx, &len, names[i].atom);
        JSValue value = JS_GetProperty(ctx, object, names[i].atom);
        good = name != NULL && !JS_IsException(value);
        if (good) {
            cbor_text(out, name, len);
            good = write_value(ctx, out, value, depth + 1);
        }
        JS_FreeValue(ctx, value);
        JS_FreeCString(ctx, name);
    }
    JS_FreePropertyEnum(ctx, names, count);
    return good;
}

static bool write_value(JSContext *ctx, struct cbor *out, JSValueConst value, int depth) {
    if (depth > CBOR_DEPTH) return refuse(ctx, "what is nested so deep");
    if (JS_IsUndefined(value) || JS_IsNull(value)) {
        cbor_null(out);
    } else if (JS_IsBool(value)) {
        cbor_bool(out, JS_ToBool(ctx, value));
    } else if (JS_IsNumber(value)) {
        double number;
        JS_ToFloat64(ctx, &number, value);
        write_number(out, number);
    } else if (JS_IsBigInt(value)) {
        return write_bigint(ctx, out, value);
    } else if (JS_IsString(value)) {
        size_t len;
        const char *text = JS_ToCStringLen(ctx, &len, value);
        if (text == NULL) return false;
        cbor_text(out, text, len);
        JS_FreeCString(ctx, text);
    } else if (!JS_IsObject(value)) {
        return refuse(ctx, "a symbol");
    } else if (JS_IsFunction(ctx, value)) {
        return refuse(ctx, "a function");
    } else if (JS_GetTypedArrayType(value) == JS_TYPED_ARRAY_UINT8) {
        size_t len;
        const uint8_t *data = JS_GetUint8Array(ctx, &len, value);
        if (data == NULL && len > 0) return false;
        cbor_bytes(out, data, len);
    } else if (JS_IsArrayBuffer(value)) {
        size_t len;
        const uint8_t *data = JS_GetArrayBuffer(ctx, &len, value);
        cbor_bytes(out, data, len);
    } else if (JS_IsArray(value) || JS_GetTypedArrayType(value) >= 0) {
        return write_list(ctx, out, value, depth);
    } else if (JS_IsMap(value) || JS_IsSet(value)) {
        return write_collection(ctx, out, value, depth);
    } else {
        return write_record(ctx, out, value, depth);
    }
    return true;
}

static JSValue read_value(JSContext *ctx, struct text *from);

static JSValue read_map(JSContext *ctx, struct text *from, uint64_t count) {
    JSValue pairs = JS_NewArray(ctx);
    for (uint64_t i = 0; i < count; i++) {
        JSValue pair = JS_NewArray(ctx);
        JS_SetPropertyUint32(ctx, pair, 0, read_value(ctx, from));
        JS_SetPropertyUint32(ctx, pair, 1, read_value(ctx, from));
        JS_SetPropertyUint32(ctx, pairs, (uint32_t)i, pair);
    }
    JSValue global = JS_GetGlobalObject(ctx), map = JS_GetPropertyStr(ctx, global, "Map");
    JSValue made = JS_CallConstructor(ctx, map, 1, &pairs);
    JS_FreeValue(ctx, map);
    JS_FreeValue(ctx, global);
    JS_FreeValue(ctx, pairs);
    return made;
}

static JSValue read_value(JSContext *ctx, struct text *from) {
    struct item item = cbor_next(from);
    switch (item.kind) {
    case CBOR_INTEGER: return JS_NewInt64(ctx, item.negative ? -1 - (int64_t)item.number : (int64_t)item.number);
    case CBOR_WIDE: return item.negative ? JS_NewBigInt64(ctx, -1 - (int64_t)item.number) : JS_NewBigUint64(ctx, item.number);
    case CBOR_BYTES: return JS_NewUint8ArrayCopy(ctx, (const uint8_t *)item.text.data, item.text.len);
    case CBOR_TEXT: return JS_NewStringLen(ctx, item.text.data, item.text.len);
    case CBOR_BOOL: return JS_NewBool(ctx, item.number != 0);
    case CBOR_FLOAT: return JS_NewFloat64(ctx, item.real);
    case CBOR_ARRAY: {
        JSValue list = JS_NewArray(ctx);
        for (uint64_t i = 0; i < item.number; i++) JS_SetPropertyUint32(ctx, list, (uint32_t)i, read_value(ctx, from));
        return list;
    }
    case CBOR_MAP: {
        if (item.is_map) return read_map(ctx, from, item.number);
        JSValue record = JS_NewObject(ctx);
        for (uint64_t i = 0; i < item.number; i++) {
            struct text name = cbor_next(from).text;
            char *camel = malloc(name.len + 1);
            camel[name_camel(name, camel)] = 0;
            JS_SetPropertyStr(ctx, record, camel, read_value(ctx, from));
            free(camel);
        }
        return record;
    }
    case CBOR_NULL: case CBOR_END: break;
    }
    return JS_NULL;
}

/* ---- calls */

static JSValue throw(JSContext *ctx, struct failure *failure) {
    bool mistake = failure->kind.len == 4 && memcmp(failure->kind.data, "type", 4) == 0;
    if (mistake) JS_ThrowTypeError(ctx, "%s", "");
    else JS_ThrowPlainError(ctx, "%s", "");
    JSValue error = JS_GetException(ctx);
    int hidden = JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE;
    JS_DefinePropertyValueStr(ctx, error, "message", JS_NewStringLen(ctx, failure->message.data, failure->message.len), hidden);
    if (!mistake) {
        struct text payload = failure->payload;
        JS_DefinePropertyValueStr(ctx, error, "name", JS_NewString(ctx, "ModuleError"), hidden);
        JS_DefinePropertyValueStr(ctx, error, "kind", JS_NewStringLen(ctx, failure->kind.data, failure->kind.len), hidden | JS_PROP_ENUMERABLE);
        JS_DefinePropertyValueStr(ctx, error, "payload", payload.len ? read_value(ctx, &payload) : JS_UNDEFINED, hidden | JS_PROP_ENUMERABLE);
    }
    return JS_Throw(ctx, error);
}

/* A function of a module: `data` is the module's name and its own. */
static JSValue call(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int magic, JSValue *data) {
    struct cbor arguments = {0};
    cbor_array(&arguments, (size_t)argc);
    for (int i = 0; i < argc; i++)
        if (!write_value(ctx, &arguments, argv[i], 0)) {
            cbor_free(&arguments);
            return JS_EXCEPTION;
        }
    struct text module, function;
    module.data = (char *)JS_ToCStringLen(ctx, &module.len, data[0]);
    function.data = (char *)JS_ToCStringLen(ctx, &function.len, data[1]);
    struct failure failure;
    struct text result = module_call(module, function, &arguments, &failure);
    JS_FreeCString(ctx, module.data);
    JS_FreeCString(ctx, function.data);
    cbor_free(&arguments);
    struct text from = result;
    JSValue value = failure.kind.data ? throw(ctx, &failure) : read_value(ctx, &from);
    module_free(result, &failure);
    return value;
}

/* ---- modules */

bool is_module_name(const char *specifier) {
    const char *colon = strchr(specifier, ':'), *slash = strchr(specifier, '/');
    return colon != NULL && slash != NULL && colon < slash && colon[1] != '/' && strncmp(specifier, "node:", 5) != 0;
}

/* Goes through the functions of a module: `each` gets the name in JavaScript, its length in WIT and its parameters. */
static void functions(struct text found, void (*each)(struct text name, const char *camel, int parameters, void *), void *with) {
    struct text from = found;
    uint64_t count = cbor_next(&from).number;
    for (uint64_t i = 0; i < count; i++) {
        struct text name = cbor_next(&from).text;
        char *camel = malloc(name.len + 1);
        camel[name_camel(name, camel)] = 0;
        int parameters = 0;
        uint64_t facts = cbor_next(&from).number;
        for (uint64_t n = 0; n < facts; n++) {
            cbor_next(&from);
            struct item fact = cbor_next(&from);
            if (fact.kind != CBOR_ARRAY) continue;
            parameters = (int)fact.number;
            for (int p = 0; p < parameters; p++) cbor_next(&from);
        }
        each(name, camel, parameters, with);
        free(camel);
    }
}

struct filling {
    JSContext *ctx;
    JSModuleDef *module;
    JSValue name;
};

static void declare(struct text name, const char *camel, int parameters, void *with) {
    struct filling *filling = with;
    JS_AddModuleExport(filling->ctx, filling->module, camel);
}

static void define(struct text name, const char *camel, int parameters, void *with) {
    struct filling *filling = with;
    JSContext *ctx = filling->ctx;
    JSValue data[] = {filling->name, JS_NewStringLen(ctx, name.data, name.len)};
    JSValue function = JS_NewCFunctionData(ctx, call, parameters, 0, 2, data);
    JS_DefinePropertyValueStr(ctx, function, "name", JS_NewString(ctx, camel), JS_PROP_CONFIGURABLE);
    JS_FreeValue(ctx, data[1]);
    JS_SetModuleExport(ctx, filling->module, camel, function);
}

static int fill(JSContext *ctx, JSModuleDef *module) {
    JSAtom atom = JS_GetModuleName(ctx, module);
    struct filling filling = {ctx, module, JS_AtomToString(ctx, atom)};
    JS_FreeAtom(ctx, atom);
    size_t len;
    const char *name = JS_ToCStringLen(ctx, &len, filling.name);
    functions(module_find(name, len), define, &filling);
    JS_FreeCString(ctx, name);
    JS_FreeValue(ctx, filling.name);
    return 0;
}

JSModuleDef *load_component_module(JSContext *ctx, const char *name) {
    struct text found = module_find(name, strlen(name));
    if (found.data == NULL) {
        JS_ThrowReferenceError(ctx, "no component that this one uses exports '%s': in watertight.toml, list one that does in its `uses`", name);
        return NULL;
    }
    struct filling filling = {ctx, JS_NewCModule(ctx, name, fill), JS_UNDEFINED};
    if (filling.module != NULL) functions(found, declare, &filling);
    return filling.module;
}
