import logging
logging.getLogger().setLevel("INFO")
logging.info("at import")
def handler(e, c):
    logging.info("in handler")
    return len(logging.getLogger().handlers)
