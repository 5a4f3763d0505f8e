"""What has to be done before the process is saved, and in each of its copies.

All copies begin with the same memory. So every generator of random numbers is looked for before, and gets a new state
after: those of random, tempfile and numpy wherever they are kept, that of torch, and OpenSSL's. os.urandom and what is
made of it (secrets, uuid4, random.SystemRandom) needs nothing. Hooks of snapshot_restore_py are run.
"""

import gc
import os
import sys
import urllib.parse  # noqa: F401 which the client wants in a copy

generators = []  # of the classes random.Random and numpy's BitGenerator and RandomState
openssl = []  # functions RAND_poll of the libraries that are loaded


def before():
    from snapshot_restore_py import get_before_snapshot

    hooks = get_before_snapshot()
    while hooks:
        function, args, kwargs = hooks.pop()
        function(*args, **kwargs)
    gc.collect()
    generators[:] = find_generators()
    openssl[:] = find_openssl()
    renew_all()  # a rehearsal: what each copy needs for it is there then
    # What there is now is garbage in no copy: without this each collection would write to all of it, and to each copy's own
    # pages.
    gc.freeze()
    shrink()


def after():
    renew_all()
    from snapshot_restore_py import get_after_restore

    for function, args, kwargs in get_after_restore():
        function(*args, **kwargs)


def renew_all():
    for generator in generators:
        renew(generator)
    for poll in openssl:
        poll()
    seed_torch()
    forget_node()


def find_generators():
    kinds = []
    if "_random" in sys.modules:
        kinds.append(sys.modules["_random"].Random)
    for module, names in (("numpy.random", ("BitGenerator", "RandomState")), ("numpy.random.bit_generator", ("BitGenerator",))):
        loaded = sys.modules.get(module)
        kinds += [getattr(loaded, name) for name in names if hasattr(loaded, name)]
    kinds = tuple(kinds)
    if not kinds:
        return []
    # By the type, not by isinstance: that asks proxies (of lazy modules, of mocks) for their class, which may do anything.
    found = [o for o in gc.get_objects() if issubclass(type(o), kinds)]
    for module, name in (("random", "_inst"), ("numpy.random.mtrand", "_rand")):
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and not any(known is o for o in found):
            found.append(known)
    state = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    bits = getattr(state, "_bit_generator", None)
    if bits is not None and not any(bits is o for o in found):
        found.append(bits)
    return found


def renew(generator):
    kind = type(generator)
    if issubclass(kind, sys.modules["_random"].Random if "_random" in sys.modules else ()):
        random = sys.modules.get("random")
        if random is not None and isinstance(generator, random.SystemRandom):
            return
        # Not the method that a subclass may have in its place: it may want arguments, or keep the seed.
        base = random.Random if random is not None and issubclass(kind, random.Random) else sys.modules["_random"].Random
        base.seed(generator, int.from_bytes(os.urandom(32), "big"))
        return
    try:
        if hasattr(generator, "state"):  # numpy's BitGenerator
            with generator.lock:
                generator.state = kind().state
        else:  # numpy's RandomState: the seed, and what it keeps of the last pair of normal numbers
            generator.seed(int.from_bytes(os.urandom(4), "big"))
            bits = generator._bit_generator
            with bits.lock:
                bits.state = type(bits)().state
    except (TypeError, ValueError):
        pass  # one that is made otherwise; what it is made of is in the list itself


def find_openssl():
    """The functions that make OpenSSL ask the kernel for a new seed. Libraries may bring an OpenSSL of their own."""
    polls = []
    if "_ssl" in sys.modules:
        ssl = sys.modules["_ssl"]
        polls.append(lambda: ssl.RAND_add(os.urandom(48), 0.0))
    binding = sys.modules.get("cryptography.hazmat.bindings._rust")
    lib = getattr(getattr(binding, "_openssl", None), "lib", None)
    if hasattr(lib, "RAND_add"):
        polls.append(lambda: lib.RAND_add(os.urandom(48), 48, 0.0))
    names = set()
    try:
        with open("/proc/self/maps") as maps:
            for line in maps:
                name = line.rstrip("\n").partition("/")[2]
                if "libcrypto" in name.rpartition("/")[2]:
                    names.add("/" + name)
    except OSError:
        pass
    for name in names:
        import ctypes

        try:
            polls.append(ctypes.CDLL(name).RAND_poll)
        except (OSError, AttributeError):
            pass
    return polls


def seed_torch():
    torch = sys.modules.get("torch")
    if hasattr(torch, "seed"):
        torch.seed()


def forget_node():
    """uuid1 has a random number for its place where there is no network card."""
    uuid = sys.modules.get("uuid")
    node = getattr(uuid, "_node", None)
    if node is not None and node >> 40 & 1:
        uuid._node = None


def shrink():
    """Gives memory that is free back to the kernel, so that it is not saved."""
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):
        pass
