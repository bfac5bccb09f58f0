package envelope

import (
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Write puts e on msg, as headers: the binary mode of CloudEvents over NATS. What was
// there of another envelope goes. The trace context is also written as traceparent
// and tracestate, which is where others look for it; and Nats-Msg-Id is the source
// and the id, so that a stream stores the message once, within its window, however
// often it is sent.
func Write(msg *nats.Msg, e Envelope) error {
	w := wire{Envelope: e, specversion: version}
	if !e.Time.IsZero() {
		text, err := e.Time.UTC().MarshalText()
		if err != nil {
			return bad("ce-time", "is not of RFC 3339: %v", err)
		}
		w.time = string(text)
	}
	if err := w.check(); err != nil {
		return err
	}
	for name, values := range msg.Header {
		if ours(name, values) {
			delete(msg.Header, name)
		}
	}
	if msg.Header == nil {
		msg.Header = make(nats.Header, 16)
	}
	values := make([]string, 0, 14) // one allocation, not one each
	set := func(name, value string) {
		if n := len(values); value != "" {
			values = append(values, value)
			msg.Header[name] = values[n : n+1 : n+1]
		}
	}
	for _, a := range w.attributes() {
		set(a.header, encode(*a.value))
	}
	set("traceparent", encode(e.TraceParent))
	set("tracestate", e.TraceState)
	set(jetstream.MsgIDHeader, encode(e.Source)+" "+encode(e.ID))
	return nil
}

// Read returns the envelope of a message and what is in it: from headers, or from the
// body of one in structured mode, which is JSON. Names of headers are read in any
// case; attributes that an Envelope does not have are left alone. It returns
// [ErrNone] if there is no envelope, and [ErrEnvelope] if there is a bad one.
func Read(header nats.Header, body []byte) (Envelope, []byte, error) {
	var w wire
	for _, a := range w.attributes() {
		switch values := get(header, a.header); len(values) {
		case 0:
			continue
		case 1:
			*a.value = decode(values[0])
		default:
			return Envelope{}, nil, bad(a.header, "is there %d times", len(values))
		}
		if *a.value == "" {
			return Envelope{}, nil, bad(a.header, "is empty")
		}
	}
	contentType := get(header, "content-type")
	data, err := body, error(nil)
	switch structured := len(contentType) > 0 && isEvent(contentType[0]); {
	case w.specversion != "" && structured:
		return Envelope{}, nil, bad("content-type", "says structured mode, and ce-specversion says binary")
	case w.specversion == "":
		if data, err = w.open(body, structured); err != nil {
			return Envelope{}, nil, err
		}
	case w.ContentType == "" && len(contentType) > 0:
		w.ContentType = contentType[0] // where the Go SDK looks too
	}
	if w.time != "" {
		if w.Time, err = time.Parse(time.RFC3339Nano, w.time); err != nil {
			return Envelope{}, nil, bad("ce-time", "%.80q is not of RFC 3339", w.time)
		}
		w.Time = w.Time.UTC()
	}
	// What the message was made in counts; without it, what carried it here. Nonsense
	// there is no reason to refuse a message.
	if parent := get(header, "traceparent"); w.TraceParent == "" && len(parent) == 1 && len(parent[0]) < MaxAttribute && plain(parent[0]) {
		w.TraceParent = parent[0]
		if state := strings.Join(get(header, "tracestate"), ","); len(state) < MaxAttribute {
			w.TraceState = state
		}
	}
	if err := w.check(); err != nil {
		return Envelope{}, nil, err
	}
	return w.Envelope, data, nil
}

// get finds a header by its name in lower case, else in any.
func get(h nats.Header, name string) []string {
	if values, ok := h[name]; ok {
		return values
	}
	for other, values := range h {
		if len(other) == len(name) && strings.EqualFold(other, name) {
			return values
		}
	}
	return nil
}

// ours reports whether a header is part of an envelope.
func ours(name string, values []string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, prefix) || name == "traceparent" || name == "tracestate" ||
		name == "content-type" && len(values) > 0 && isEvent(values[0])
}

func isEvent(contentType string) bool {
	return strings.HasPrefix(strings.ToLower(contentType), "application/cloudevents")
}

// plain reports whether s stands for itself in a header: most do.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '"' {
			return false
		}
	}
	return true
}

const hex = "0123456789ABCDEF"

func encode(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(s[i : i+1]) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// decode undoes encode, and what others do: quotes, needless percents, none at all.
func decode(s string) string {
	if plain(s) {
		return s
	}
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		s = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : n-1])
	}
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
