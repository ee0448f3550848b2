
/*
 * Behind the engine's own source, of which three lines are changed when it is built: what a snapshot holds is immortal. A count that
 * has reached IMMORTAL is neither raised nor lowered, so that a cell that reads an object of the snapshot does not write to its page and
 * goes on sharing it. Objects made after the snapshot are counted as ever. The engine asks of a count only whether it is 0 or 1.
 */

static void immortalise(JSValueConst value) {
    if (JS_VALUE_GET_TAG(value) == JS_TAG_STRING) js_rc(JS_VALUE_GET_PTR(value))->ref_count |= IMMORTAL;
}

static void immortalise_strings_of(JSGCObjectHeader *header) {
    if (JS_GC_TYPE(header) == JS_GC_OBJ_TYPE_FUNCTION_BYTECODE) {
        JSFunctionBytecode *function = (JSFunctionBytecode *)header;
        for (int i = 0; i < function->cpool_count; i++) immortalise(function->cpool[i]);
    } else if (JS_GC_TYPE(header) == JS_GC_OBJ_TYPE_JS_OBJECT) {
        JSObject *object = (JSObject *)header;
        JSShapeProperty *property = get_shape_prop(object->shape);
        for (int i = 0; i < object->shape->prop_count; i++, property++)
            if ((property->flags & JS_PROP_TMASK) == JS_PROP_NORMAL) immortalise(object->prop[i].u.value);
    }
}

void js_make_immortal(JSRuntime *rt) {
    struct list_head *at;
    list_for_each(at, &rt->gc_obj_list) {
        JSGCObjectHeader *header = list_entry(at, JSGCObjectHeader, link);
        /* A shape of one object only is changed in place, which the engine asserts by its count. */
        if (JS_GC_TYPE(header) == JS_GC_OBJ_TYPE_SHAPE && !((JSShape *)header)->is_hashed) continue;
        js_rc(header)->ref_count |= IMMORTAL;
        immortalise_strings_of(header);
    }
    for (int i = 0; i < rt->atom_size; i++)
        if (!atom_is_free(rt->atom_array[i])) js_rc(rt->atom_array[i])->ref_count |= IMMORTAL;
    /* To look for cycles is to write to everything: not before a cell has made as much again. */
    rt->malloc_gc_threshold = 2 * rt->malloc_state.malloc_size + (4 << 20);
}
