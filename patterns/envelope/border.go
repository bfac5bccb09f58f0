package envelope

import (
	"strings"

	"github.com/nats-io/nats.go"
)

const outer = "outer-"

// Wrap puts a message from outside into an envelope: the same subject and body, and
// what headers it had put away, so that inside none of them does anything: no
// Nats-Rollup, no trace, no envelope of somebody else's. Change the subject to where it is to go.
func Wrap(foreign *nats.Msg, e Envelope) (*nats.Msg, error) {
	msg := &nats.Msg{Subject: foreign.Subject, Reply: foreign.Reply, Data: foreign.Data, Header: make(nats.Header, 16+len(foreign.Header))}
	for name, values := range foreign.Header {
		msg.Header[outer+name] = values
	}
	return msg, Write(msg, e)
}

// Unwrap makes of a message what may go outside: its body, and those headers that
// Wrap put away, byte for byte. All others are of the inside, and stay there. Subject
// and Reply are as msg has them, and the Reply of what comes from a stream is for its ack.
func Unwrap(msg *nats.Msg) *nats.Msg {
	foreign := &nats.Msg{Subject: msg.Subject, Reply: msg.Reply, Data: msg.Data}
	for name, values := range msg.Header {
		if name, ok := strings.CutPrefix(name, outer); ok {
			if foreign.Header == nil {
				foreign.Header = nats.Header{}
			}
			foreign.Header[name] = values
		}
	}
	return foreign
}
