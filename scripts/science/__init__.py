"""The parts of `eval_science.py`: one file each, with `judge(n_people, seed)`."""
