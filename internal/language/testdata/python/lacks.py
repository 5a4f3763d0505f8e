import does_not_exist
def handler(e, c): pass
