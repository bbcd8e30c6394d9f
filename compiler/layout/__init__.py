"""One frozen Grid of axes with sizes and strides; groups, stages and experts read off it."""
