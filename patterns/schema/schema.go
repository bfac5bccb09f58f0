package schema

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("schema: bad id")
	// ErrConfig reports a Config or parameter that makes no sense; the text names it.
	ErrConfig = errors.New("schema: bad config")
	// ErrType reports Go types that cannot be the versions of one message.
	ErrType = errors.New("schema: bad type")
	// ErrMismatch reports a stream or consumer that exists and is set up otherwise.
	ErrMismatch = errors.New("schema: set up otherwise; Provision changes streams")
	// ErrNoEvent reports that there is no such event to correct.
	ErrNoEvent = errors.New("schema: no such event")
)

// Why a message is diverted to the invalid message channel. The header
// [HeaderReason] carries these texts.
var (
	ErrUnmarked = errors.New("schema: no format indicator")
	ErrForeign  = errors.New("schema: another type")
	ErrFuture   = errors.New("schema: from the future")
	ErrSchema   = errors.New("schema: against the schema")
	ErrRefused  = errors.New("schema: refused") // by a handler that wraps it, or by a change of version
)

// The headers of a message: its format indicator, and what it corrects.
const (
	HeaderName     = "Schema-Name"
	HeaderVersion  = "Schema-Version"
	HeaderSince    = "Schema-Since"
	HeaderCorrects = "Schema-Corrects" // the stream sequence of an earlier event
	contentType    = "application/json"
)

// Format is what a message says of itself: the format indicator.
type Format struct {
	Name    string
	Version int // from 1
	Since   int // the oldest version whose readers can read it
}

// FormatOf reads the format indicator of a message.
func FormatOf(h nats.Header) (Format, error) {
	version, bad := strconv.Atoi(h.Get(HeaderVersion))
	since, worse := strconv.Atoi(h.Get(HeaderSince))
	f := Format{h.Get(HeaderName), version, since}
	if h.Get("Content-Type") != contentType || f.Name == "" || errors.Join(bad, worse) != nil || since < 1 || since > version {
		return f, fmt.Errorf("%w: %s %.40q, version %.20q since %.20q; send by Publish, or see Encode", ErrUnmarked,
			h.Get("Content-Type"), f.Name, h.Get(HeaderVersion), h.Get(HeaderSince))
	}
	return f, nil
}

// Config tunes a [Channel] and a [Vault]. The zero Config is ready to use.
type Config struct {
	Log      *slog.Logger          // discarded if nil
	Replicas int                   // of the streams; 1 if zero
	Storage  jetstream.StorageType // of them; file if zero
	Bind     bool                  // create nothing: what is missing is an error
	Metadata map[string]string     // put on what is created
}

func (c Config) normal() (Config, error) {
	c.Replicas, c.Log = cmp.Or(c.Replicas, 1), cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Replicas < 1 || c.Replicas > 5 {
		return c, fmt.Errorf("%w: Replicas %d; from 1 to 5", ErrConfig, c.Replicas)
	}
	return c, nil
}
