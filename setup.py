"""Which folders make the package: rooms lie at the top of a checkout, and in ``promptclimb`` once installed.

All else about the package stands in ``pyproject.toml``; only code can list packages under another name than
that of their folder.
"""

from setuptools import find_packages, setup

ROOMS = ("agent", "evaluator", "prompts")

setup(
    # An editable installation puts the folder of "" on the path (see there why).
    package_dir={
        "": "editable",
        "promptclimb": "promptclimb",
        **{f"promptclimb.{room}": room for room in ROOMS},
    },
    options={"editable_wheel": {"mode": "compat"}, "egg_info": {"egg_base": "."}},
    packages=[
        "promptclimb",
        *(f"promptclimb.{name}" for name in find_packages(include=[p for r in ROOMS for p in (r, f"{r}.*")])),
    ],
)
