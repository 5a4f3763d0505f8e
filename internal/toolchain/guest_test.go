package toolchain

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// TestGuestInit: what cpio(1) would unpack, the same bytes each time.
func TestGuestInit(t *testing.T) {
	modules := []module{{"virtio", []byte("one")}, {"erofs", []byte("three")}}
	b := guestInitramfs([]byte("agent"), modules)
	if !bytes.Equal(b, guestInitramfs([]byte("agent"), modules)) {
		t.Error("two makings differ")
	}
	var names []string
	content := map[string]string{}
	for len(b) > 0 {
		field := func(i int) int {
			n := 0
			for _, c := range b[6+8*i : 14+8*i] {
				n = n<<4 | strings.IndexByte("0123456789abcdef", c)
			}
			return n
		}
		if string(b[:6]) != "070701" {
			t.Fatalf("no entry: %.20q", b)
		}
		size, length := field(6), field(11)
		name := string(b[110 : 110+length-1])
		at := (110 + length + 3) &^ 3
		content[name] = string(b[at : at+size])
		names = append(names, name)
		b = b[(at+size+3)&^3:]
	}
	if got := strings.Join(names, " "); got != "dev groups images modules proc root sys dev/console dev/null init modules/erofs.ko modules/order modules/virtio.ko TRAILER!!!" {
		t.Errorf("got %s", got)
	}
	if content["init"] != "agent" || content["modules/order"] != "virtio.ko\nerofs.ko\n" || content["modules/virtio.ko"] != "one" {
		t.Errorf("got %q", content)
	}
}

// bzImage is the smallest that has a payload.
func bzImage(payload []byte) []byte {
	image := make([]byte, 2048, 2048+len(payload))
	image[0x1f1] = 1
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(image[0x248:], 1024)
	binary.LittleEndian.PutUint32(image[0x24c:], uint32(len(payload)))
	return append(image, payload...)
}

func TestUnpackKernel(t *testing.T) {
	kernel := append([]byte("\x7fELF"), bytes.Repeat([]byte("kernel"), 5000)...)
	var packed bytes.Buffer
	w := lz4.NewWriter(&packed)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(kernel)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	payload := binary.LittleEndian.AppendUint32(packed.Bytes(), uint32(len(kernel)))
	if got, err := unpackKernel(bzImage(payload)); err != nil || !bytes.Equal(got, kernel) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(kernel))
	}
	for what, image := range map[string][]byte{
		"nothing": nil, "text": []byte(strings.Repeat("x", 4096)), "short": bzImage(payload)[:2050], "other": bzImage([]byte("0123456789abcdef")),
	} {
		if _, err := unpackKernel(image); err == nil {
			t.Errorf("%s: unpacked", what)
		}
	}
}

func FuzzUnpackKernel(f *testing.F) {
	f.Add(bzImage([]byte("\x02\x21\x4c\x18\x05\x00\x00\x00hello\x05\x00\x00\x00")))
	f.Fuzz(func(_ *testing.T, image []byte) { _, _ = unpackKernel(image) })
}

// TestModulesInOrder: what a module needs is loaded before it. The modules are assembled here.
func TestModulesInOrder(t *testing.T) {
	as, err := exec.LookPath("as")
	if err != nil {
		t.Skip("THERE IS NO ASSEMBLER")
	}
	dir := t.TempDir()
	for name, needs := range map[string]string{"virtio": "virtio_ring", "virtio_ring": "", "virtio-blk": "virtio,virtio_ring", "other": ""} {
		cmd := exec.Command(as, "-o", filepath.Join(dir, name+".ko"), "-")
		cmd.Stdin = strings.NewReader(".section .modinfo,\"a\"\n.asciz \"license=GPL\"\n.asciz \"depends=" + needs + "\"\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	got, err := modulesOf(dir, []string{"virtio_blk"})
	var order []string
	for _, m := range got {
		order = append(order, m.name)
	}
	if err != nil || strings.Join(order, " ") != "virtio_ring virtio virtio_blk" {
		t.Errorf("got %v, %v", order, err)
	}
	if _, err := modulesOf(dir, []string{"none"}); err == nil {
		t.Error("a module that is not there was found")
	}
	if err := os.WriteFile(filepath.Join(dir, "text.ko"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := modulesOf(dir, []string{"text"}); err == nil {
		t.Error("a text is no module")
	}
}
