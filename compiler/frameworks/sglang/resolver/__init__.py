"""SGLang's own resolver of arguments, run whole on a GPU that is pretended: `ask` starts `child`, a process of its own."""
