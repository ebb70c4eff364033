"""Function chaining: three greetings, each said after the one before it."""

import worker_ext as df


def hello_sequence(context: df.DurableOrchestrationContext):
    """Greets the cities of the input, or three of ours, in turn, counts each, and returns the greetings."""
    greetings = []
    for city in context.get_input() or ["Tokyo", "Seattle", "London"]:
        greeting = yield context.call_activity("say_hello", city)
        greetings.append(greeting)
        context.signal_entity(df.EntityId("greeted", city), "count")
    return greetings


main = df.Orchestrator.create(hello_sequence)
