"""`python -m compiler.prove PLAN`: hold a plan against its framework."""

from compiler.commands.prove import main

if __name__ == "__main__":
    main()
