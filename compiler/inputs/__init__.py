"""The one reader of files that a user gives. `what` is what a message calls the file, `instead` what to write in its place."""
