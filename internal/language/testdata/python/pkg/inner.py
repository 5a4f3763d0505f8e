from . import words


def handler(event, context):
    return [words.W, __name__]
