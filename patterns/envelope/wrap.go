package envelope

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// outer is the prefix of the headers that a wrapped message had outside.
const outer = "outer-"

// Wrap returns a message from outside with an envelope. The subject and the payload
// stay. Its headers are stored under other names, so that they have no effect inside:
// no Nats-Rollup, no trace, no foreign envelope. Set the subject to the destination.
func Wrap(foreign *nats.Msg, e Envelope) (*nats.Msg, error) {
	msg := &nats.Msg{Subject: foreign.Subject, Reply: foreign.Reply, Data: foreign.Data, Header: make(nats.Header, 16+len(foreign.Header))}
	for name, values := range foreign.Header {
		msg.Header[outer+name] = values
	}
	return msg, Write(msg, e)
}

// Unwrap returns a message for the outside: the payload, and the headers that Wrap
// stored, byte for byte. All other headers belong to the inside and are dropped.
// Subject and Reply stay; the Reply of a message from a stream is its ack subject.
func Unwrap(msg *nats.Msg) *nats.Msg {
	foreign := &nats.Msg{Subject: msg.Subject, Reply: msg.Reply, Data: msg.Data}
	for name, values := range msg.Header {
		original, ok := strings.CutPrefix(name, outer)
		if !ok {
			continue
		}
		if foreign.Header == nil {
			foreign.Header = nats.Header{}
		}
		foreign.Header[original] = values
	}
	return foreign
}
