"""`show`, `prove` and `calibrate`, each behind a thin module of its name; they read plan folders."""
