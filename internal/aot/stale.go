package aot

import "errors"

// ErrStale is an artifact that does not fit this machine any more, or is damaged: another JDK, another
// class path, a file that was cut short. It is to be made again.
var ErrStale = errors.New("the artifact does not fit this machine any more")
