/* Declared in wasi.h, and known to nobody. */
