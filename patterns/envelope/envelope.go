package envelope

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"
)

var (
	// ErrConfig reports a handler that is nil.
	ErrConfig = errors.New("envelope: bad config")
	// ErrEnvelope reports a bad envelope; the text names the attribute.
	ErrEnvelope = errors.New("envelope: bad envelope")
	// ErrNoEnvelope reports a message without an envelope. Wrap adds one.
	ErrNoEnvelope = errors.New("envelope: the message has no envelope")
)

// maxAttribute is the maximum length of an attribute in bytes.
const maxAttribute = 1024

// Envelope is the metadata of a message that all services understand. Its attributes
// are those of CloudEvents 1.0 and of its extensions for correlation and distributed
// tracing.
type Envelope struct {
	ID          string    // required; unique for each Source, and the same for each retry
	Source      string    // required: the producer, a URI reference such as /shop
	Type        string    // required: the kind of message, such as order.placed
	Time        time.Time // when it happened, by the producer's clock; not written if zero
	Subject     string    // what it is about, such as order-17
	ContentType string    // of the payload, such as application/json
	Correlation string    // the conversation that it belongs to
	Causation   string    // the ID of the message that caused it; empty for the first
	TraceParent string    // W3C trace context in which it was produced; a Tracer sets it
	TraceState  string
}

// New returns the envelope of a message that starts a conversation. The conversation
// gets its ID. A retry is the same message: use the same ID.
func New(source, typ, id string) Envelope {
	return Envelope{ID: id, Source: source, Type: typ, Time: time.Now().Round(0), Correlation: id}
}

// Next returns the envelope of a message that e caused, in the same conversation. Derive
// its ID from the cause, such as e.ID+".paid": a handler that runs again then produces
// the same message.
func (e Envelope) Next(source, typ, id string) Envelope {
	next := New(source, typ, id)
	next.Correlation, next.Causation = cmp.Or(e.Correlation, e.ID), e.ID
	return next
}

func badAttribute(header, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrEnvelope, strings.TrimPrefix(header, prefix), fmt.Sprintf(format, args...))
}

// encoded is an envelope as strings, with the headers beside it that hold the same
// information.
type encoded struct {
	Envelope
	specversion, time                    string
	contentType, traceparent, tracestate string

	plain [firstNotAttr]bool // the attribute is known to need no encoding
}

const (
	prefix       = "ce-"
	version      = "1.0"
	required     = 4  // number of required attributes, the first of names
	firstNotAttr = 11 // from here on names are headers, not attributes
)

var names = [14]string{
	"ce-specversion", "ce-id", "ce-source", "ce-type",
	"ce-time", "ce-subject", "ce-datacontenttype", "ce-correlationid", "ce-causationid", "ce-traceparent", "ce-tracestate",
	"content-type", "traceparent", "tracestate",
}

// fields returns the fields in the order of names.
func (w *encoded) fields() [len(names)]*string {
	return [...]*string{
		&w.specversion, &w.ID, &w.Source, &w.Type,
		&w.time, &w.Subject, &w.ContentType, &w.Correlation, &w.Causation, &w.TraceParent, &w.TraceState,
		&w.contentType, &w.traceparent, &w.tracestate,
	}
}

func (w *encoded) check() error {
	fields := w.fields()
	for i, name := range names[:firstNotAttr] {
		switch v := *fields[i]; {
		case v == "" && i < required:
			return badAttribute(name, "is missing")
		case len(v) > maxAttribute:
			return badAttribute(name, "has %d bytes; use at most %d", len(v), maxAttribute)
		case !w.plain[i]:
			if w.plain[i] = isPlain(v); !w.plain[i] && !isText(v) {
				return badAttribute(name, "%.80q is not printable text", v)
			}
		}
	}
	if w.specversion != version {
		return badAttribute("ce-specversion", "is %.20q; use %s", w.specversion, version)
	}
	if len(w.Source) < 2 || w.Source[0] != '/' || w.Source[1] == '/' || strings.Contains(w.Source, "%") { // a plain path needs no parser
		if _, err := url.Parse(w.Source); err != nil {
			return badAttribute("ce-source", "%.80q is not a URI reference, such as /shop", w.Source)
		}
	}
	if t := w.ContentType; t != "" && t != "application/json" {
		if _, _, err := mime.ParseMediaType(t); err != nil {
			return badAttribute("ce-datacontenttype", "%.80q is not a media type, such as application/json", t)
		}
	}
	return nil
}
