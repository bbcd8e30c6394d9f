"""`python -m compiler.check PLAN`: whether compiling it again would give these bytes."""

from compiler.commands.check import main

if __name__ == "__main__":
    main()
