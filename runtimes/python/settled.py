"""Makes a snapshot cheap to start from: cells share its pages until they write to them, so as few as can be are written to.

A use of an object is a write to its count of references, and a new object goes where an old one has left a hole, anywhere. What the
snapshot holds is made immortal, as None is: it is not counted. The holes are filled, so that what a cell makes lies together.
"""

import gc
import sys
import types
from array import array

import wit_world

# Objects that are looked at before their references are.
BATCH = 4096


def settle():
    gc.unfreeze()
    gc.collect()
    make_immortal()
    gc.freeze()
    wit_world.fill()


def make_immortal():
    pending = gc.get_objects()
    for kind in static_types():
        pending += (kind.__mro__, kind.__bases__)
    mortal = lambda object: not sys._is_immortal(object)
    while pending:
        batch = list(filter(mortal, pending[-BATCH:]))
        del pending[-BATCH:]
        wit_world.keep(array("I", map(id, batch)).tobytes())
        pending += filter(mortal, gc.get_referents(*batch))
        # What the garbage collector needs not know.
        for found in batch:
            if type(found) is types.CodeType:
                parts = (found.co_filename, found.co_name, found.co_qualname, found.co_linetable, found.co_exceptiontable)
                pending += filter(mortal, (*parts, found.co_names, *found.co_names, found.co_consts, *found.co_consts))
            elif isinstance(found, dict):
                pending += filter(mortal, found)


def static_types():
    found, pending = set(), [object]
    while pending:
        kind = pending.pop()
        if kind not in found:
            found.add(kind)
            pending += type.__subclasses__(kind)
    return found
