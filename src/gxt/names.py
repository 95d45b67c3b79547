"""Readable names for runs, such as `calm-otter`: for people; ids are what is unique."""

from __future__ import annotations

import os

_ADJECTIVES = (
    "able agile amber bold brave bright brisk calm candid clear clever cosmic crisp curious daring deft eager early "
    "fair fancy fleet fond frank fresh gentle glad golden grand happy hardy honest humble jolly keen kind lively "
    "lucid lucky lunar mellow merry mighty modest neat nimble noble patient placid plucky polite proud quick quiet "
    "rapid ready rustic serene sharp shiny silent silver smart snowy solar solid spry steady stellar stoic sunny "
    "swift tidy tranquil true upbeat vivid warm wise witty zesty"
).split()
_ANIMALS = (
    "ant badger bat bear beaver bee bison bream camel carp cat cicada cobra cod condor coyote crab crane cricket "
    "crow deer dingo dove eagle eel egret elk falcon ferret finch fox frog gecko gibbon goat goose gull hare hawk "
    "heron horse ibex ibis impala jackal jay kestrel kite koala lark lemur lion llama loon lynx magpie marten mole "
    "moose moth newt ocelot okapi orca oryx osprey otter owl panda parrot perch pike plover puffin puma quail "
    "rabbit raven robin salmon seal shrew shrike skink sloth sparrow stoat stork swan swift tapir tern tiger toad "
    "trout vole walrus wasp whale wolf wombat wren yak zebra"
).split()


def readable_name() -> str:
    """An adjective and an animal, at random."""
    first, second = (int.from_bytes(os.urandom(4), "big") for _ in range(2))
    return f"{_ADJECTIVES[first % len(_ADJECTIVES)]}-{_ANIMALS[second % len(_ANIMALS)]}"
