"""`python -m compiler.calibrate FILES`: fit a site's own GEMM and collective curves, and shift constants to its own runs."""

from compiler.commands.calibrate import main

if __name__ == "__main__":
    main()
