package gate

import (
	"github.com/cloudjit/cloudjit/internal/store"
)

// States of a version; the reasons are AWS's.
var (
	Pending    = store.Status{Value: "Pending", Reason: "The function is being created.", Code: "Creating"}
	Active     = store.Status{Value: "Active"}
	Successful = store.Status{Value: "Successful"}
	InProgress = store.Status{Value: "InProgress"}
)

// Values of InvokeMode.
const (
	BufferedMode = "BUFFERED"
	StreamMode   = "RESPONSE_STREAM"
)
