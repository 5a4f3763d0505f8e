package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// profileOption is what a builder offers that can make binaries which take profiles, and build with those.
const profileOption = "--pgo-instrument"

// Profiles asks a builder whether it can take profiles of binaries and build with them; the error says why not. It runs
// native-image --help, but for an assembled builder: that has published parts alone, and its driver refuses the option.
func (t Toolchain) Profiles(ctx context.Context) error {
	const lacks = "profiles need Oracle GraalVM, and this builder is "
	if t.Kind == Assembled {
		return errors.New(lacks + "assembled from parts of the community's")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.NativeImage(), "--help")
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s --help does not say whether it takes profiles: %w", t.NativeImage(), err)
	}
	if !bytes.Contains(out, []byte(profileOption)) {
		return fmt.Errorf("%s%s %s %s: its native-image does not offer %s", lacks, t.Kind, t.Edition, t.Version, profileOption)
	}
	return nil
}
