package datatype

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a diverted message. It also keeps its own headers, without Nats-* and
// Invalid-*.
const (
	HeaderReason    = "Invalid-Reason"    // the text of ErrInvalid or ErrPoison
	HeaderError     = "Invalid-Error"     // the error in full
	HeaderSubject   = "Invalid-Subject"   // its subject before
	HeaderSequence  = "Invalid-Sequence"  // its sequence in DATATYPE_<name>
	HeaderTruncated = "Invalid-Truncated" // "true": it was too large, and is diverted without its payload and its headers
)

// divert stores msg in the invalid message channel, and then terminates it.
func (c *Channel[T]) divert(
	ctx context.Context, consumer string, msg jetstream.Msg, meta *jetstream.MsgMetadata, reason, cause error,
) (action string, err error) {
	own := nats.Header{
		HeaderReason: {strings.TrimPrefix(reason.Error(), "datatype: ")}, HeaderError: {errorText(cause)},
		HeaderSubject: {msg.Subject()}, HeaderSequence: {strconv.FormatUint(meta.Sequence.Stream, 10)},
	}
	m := &nats.Msg{Subject: fmt.Sprintf("invalid.%s.%s.%d.%d", c.name, consumer, meta.Sequence.Stream, meta.Timestamp.UnixNano())}
	m.Data, m.Header = msg.Data(), copyHeader(msg.Headers(), "Invalid-")
	maps.Copy(m.Header, own)
	err = c.storeOnce(ctx, m)
	if isTooLarge(err) {
		own.Set(HeaderTruncated, "true")
		m.Data, m.Header = nil, own
		err = c.storeOnce(ctx, m)
	}
	if err != nil {
		return "divert", errors.Join(err, msg.NakWithDelay(redeliveryDelay(time.Second, int(meta.NumDelivered))))
	}
	return "term", msg.TermWithReason(own.Get(HeaderReason))
}

// storeOnce stores m unless a message is on its subject: a redelivered message is
// diverted once, at any time later.
func (c *Channel[T]) storeOnce(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	if apiCode(err) == jetstream.JSErrCodeStreamWrongLastSequence { // not isConflict: it is true also while a copy is in process
		return nil
	}
	return err
}
