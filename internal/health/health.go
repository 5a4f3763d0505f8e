// Package health is the vocabulary in which parts of a server say what is wrong with them. It
// does not know who says it, nor who reads it.
package health

import "time"

// Problem is one thing that is wrong now, or was lost and not acknowledged yet.
type Problem struct {
	// Component is what it is wrong with: disk, store, inventory, or a kind of Disk.
	Component string `json:"component"`
	// Message says what is wrong and what to do.
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
	// Lost names what is not there any more, Repaired what was, and was made again. Both are exact.
	Lost     []string `json:"lost,omitempty"`
	Repaired []string `json:"repaired,omitempty"`
	// Warning: everything works now, and soon something may not.
	Warning bool `json:"warning,omitempty"`
}

// Serious reports whether something does not work or is lost; what was only
// repaired, or is only near, is told, and no more.
func (p *Problem) Serious() bool { return !p.Warning && (len(p.Lost) > 0 || len(p.Repaired) == 0) }

// Disk is what one kind of stored things takes, and may take, in bytes. Limit 0: it is not bounded by itself.
type Disk struct {
	// Kind is code, artifacts, logs, queue, recordings, bodies or audit.
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"`
	Limit int64  `json:"limit,omitempty"`
}

// Host is the machine of a node.
type Host struct {
	Name string `json:"name"`
	// Load is the mean number of processes that ran or wanted to over the last minute.
	Load float64 `json:"load"`
	// MemoryBytes is what the machine has, MemoryFree what of it is available.
	MemoryBytes int64 `json:"memoryBytes"`
	MemoryFree  int64 `json:"memoryFree"`
	// DiskBytes and DiskFree are of the file system of the data folder.
	DiskBytes int64 `json:"diskBytes"`
	DiskFree  int64 `json:"diskFree"`
	// Drivers are those that functions may choose here, the one of all functions first.
	Drivers []string `json:"drivers,omitempty"`
	// GuestKernel is what virtual machines that are started anew boot, where Drivers has some: "debian" or "small".
	GuestKernel string `json:"guestKernel,omitempty"`
}
