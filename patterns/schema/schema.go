package schema

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("schema: bad ID")
	// ErrType reports Go types that cannot be the versions of one message type.
	ErrType = errors.New("schema: bad type")
)

// The reasons for which [Type.Decode] refuses a message; ErrSchema also of Encode.
var (
	ErrFormat  = errors.New("schema: no format indicator")
	ErrName    = errors.New("schema: another type")
	ErrVersion = errors.New("schema: version too new")
	ErrSchema  = errors.New("schema: invalid payload")
	ErrUpcast  = errors.New("schema: upcast failed")
)

// The headers of the format indicator.
const (
	HeaderName    = "Schema-Name"
	HeaderVersion = "Schema-Version"
	HeaderSince   = "Schema-Since"
	contentType   = "application/json"
)

// Format is the format indicator of a message.
type Format struct {
	Name    string
	Version int // from 1
	Since   int // the oldest version whose readers can read it
}

// FormatOf returns the format indicator in the headers of a message.
func FormatOf(h nats.Header) (Format, error) {
	version, err1 := strconv.Atoi(h.Get(HeaderVersion))
	since, err2 := strconv.Atoi(h.Get(HeaderSince))
	f := Format{h.Get(HeaderName), version, since}
	if h.Get("Content-Type") != contentType || f.Name == "" || err1 != nil || err2 != nil || since < 1 || since > version {
		return f, fmt.Errorf("%w: %s %.40q, version %.20q since %.20q; use Encode", ErrFormat,
			h.Get("Content-Type"), f.Name, h.Get(HeaderVersion), h.Get(HeaderSince))
	}
	return f, nil
}
