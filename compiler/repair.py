"""`python -m compiler.repair`."""

from compiler.commands.repair import main

if __name__ == "__main__":
    main()
