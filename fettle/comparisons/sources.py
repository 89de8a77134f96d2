"""Where the responses of an item come from. Only generated items are handed out to whoever votes next."""

GENERATED = "generated"  # by the comparison's models
GOLD = "gold"  # written by hand, with the order that is right: checks annotators, and counts nowhere else
IMPORTED = "imported"  # with votes that were made elsewhere
