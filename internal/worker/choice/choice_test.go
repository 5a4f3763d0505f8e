package choice_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/choice"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// named is a fake driver with a name.
type named struct {
	*fake.Driver
	name   string
	closed *[]string
}

func (n named) Name() string { return n.name }
func (n named) Close() error {
	*n.closed = append(*n.closed, n.name)
	return n.Driver.Close()
}

// drivers are "house", which is everybody's, and "tower", which lacks what lacks says.
func drivers(t *testing.T, lacks *error) (d *choice.Driver, house, tower named, opened *int, closed *[]string) {
	t.Helper()
	closed, opened = new([]string), new(int)
	house = named{fake.New(func(worker.Spec) fake.Program { return fake.Program{} }), "house", closed}
	tower = named{fake.New(func(worker.Spec) fake.Program { return fake.Program{} }), "tower", closed}
	d, err := choice.New(choice.Options{Default: "house", Base: house, Setting: "workers.drivers", Kinds: []choice.Kind{
		{Name: "house", Open: func() (worker.Driver, error) { return house, nil }},
		{Name: "tower", Look: func() error { return *lacks }, Open: func() (worker.Driver, error) {
			*opened++
			if *lacks != nil {
				return nil, *lacks
			}
			return tower, nil
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d, house, tower, opened, closed
}

func start(t *testing.T, d *choice.Driver, driver string) error {
	t.Helper()
	w, err := d.Start(t.Context(), worker.Spec{ID: "w", Revision: &function.Spec{Kind: function.KindProvided, Driver: driver}})
	if err == nil {
		t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
	}
	return err
}

func TestEachFunctionHasItsDriver(t *testing.T) {
	var lacks error
	d, house, tower, opened, closed := drivers(t, &lacks)
	if got := d.Names(); !slices.Equal(got, []string{"house", "tower"}) || *opened != 0 {
		t.Fatalf("got %v, %d opened: want both, and none opened before it is wanted", got, *opened)
	}
	for range 2 {
		for _, name := range []string{"", "house", "tower"} {
			if err := start(t, d, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if house.Started() != 4 || tower.Started() != 2 || *opened != 1 {
		t.Errorf("got %d and %d workers, opened %d times: want 4 and 2, once", house.Started(), tower.Started(), *opened)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(*closed, []string{"tower", "house"}) {
		t.Errorf("closed %v: want what others stand on closed last, and each once", *closed)
	}
	if err := start(t, d, "tower"); !errors.Is(err, worker.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// TestOneThatIsNotThere: it is said plainly, not looked for all the time, and found once it is there.
func TestOneThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lacks := errors.New("no bricks")
		d, _, tower, opened, _ := drivers(t, &lacks)
		defer d.Close()
		for range 3 {
			err := start(t, d, "tower")
			var failed *worker.StartError
			if !errors.Is(err, worker.ErrNoDriver) || !errors.As(err, &failed) || failed.Phase != "sandbox" || !strings.Contains(err.Error(), "tower is not on this node: no bricks") {
				t.Fatalf("got %v", err)
			}
		}
		if *opened != 1 {
			t.Errorf("opened %d times", *opened)
		}
		if err := start(t, d, ""); err != nil {
			t.Errorf("another function: %v", err)
		}
		if got := d.Names(); !slices.Equal(got, []string{"house"}) {
			t.Errorf("got %v", got)
		}
		lacks = nil
		time.Sleep(11 * time.Second)
		if err := start(t, d, "tower"); err != nil || tower.Started() != 1 {
			t.Errorf("%v", err)
		}
		if got := d.Names(); !slices.Equal(got, []string{"house", "tower"}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestOneThatIsNotAllowed(t *testing.T) {
	var lacks error
	d, _, _, _, _ := drivers(t, &lacks)
	defer d.Close()
	if err := start(t, d, "cave"); !errors.Is(err, worker.ErrNoDriver) || !strings.Contains(err.Error(), "may not choose cave here: this node has house, tower (workers.drivers)") {
		t.Errorf("got %v", err)
	}
	if _, err := choice.New(choice.Options{Default: "cave"}); err == nil {
		t.Error("opened without its own driver")
	}
}

// TestNamesWhileOneIsLookedFor: nobody is told of a driver that is not there, also not while it is tried to open it: other nodes would
// send what needs it here.
func TestNamesWhileOneIsLookedFor(t *testing.T) {
	lacks := errors.New("it is not there")
	opening, end := make(chan struct{}), make(chan struct{})
	house := named{fake.New(func(worker.Spec) fake.Program { return fake.Program{} }), "house", new([]string)}
	d, err := choice.New(choice.Options{Default: "house", Base: house, Kinds: []choice.Kind{
		{Name: "house", Open: func() (worker.Driver, error) { return house, nil }},
		{Name: "tower", Look: func() error { return lacks }, Open: func() (worker.Driver, error) {
			close(opening)
			<-end
			return nil, lacks
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	failed := make(chan error)
	go func() { failed <- start(t, d, "tower") }()
	<-opening
	if got := d.Names(); !slices.Equal(got, []string{"house"}) {
		t.Errorf("while it is tried: got %v", got)
	}
	close(end)
	if err := <-failed; !errors.Is(err, worker.ErrNoDriver) {
		t.Errorf("got %v", err)
	}
	if got := d.Names(); !slices.Equal(got, []string{"house"}) {
		t.Errorf("afterwards: got %v", got)
	}
}
