"""How often a city was greeted: a durable entity, one a city."""

import worker_ext as df


def greeted(context: df.DurableEntityContext) -> None:
    """Counts; `count` is its only operation."""
    context.set_state(context.get_state(lambda: 0) + 1)


main = df.Entity.create(greeted)
