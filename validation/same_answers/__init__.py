"""Whether answers and their times tell what a floored dataset withholds; `python -m validation.same_answers`."""
