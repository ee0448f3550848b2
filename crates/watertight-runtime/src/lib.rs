//! Engines, the compile cache, cells and the membrane between them
