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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	m := &nats.Msg{Subject: fmt.Sprintf("invalid.%s.%s.%d.%d", c.name, consumer, meta.Sequence.Stream, meta.Timestamp.UnixNano())}
	m.Header, m.Data, err = c.original(ctx, msg, meta, reason)
	if err == nil {
		m.Header = copyHeader(m.Header, "Invalid-")
		maps.Copy(m.Header, own)
		err = c.storeOnce(ctx, m)
	}
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

// original returns msg as it is stored, if the handler had it and may have changed it;
// as it was received, if it was removed from the stream since.
func (c *Channel[T]) original(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, reason error) (nats.Header, []byte, error) {
	if reason == ErrInvalid {
		return msg.Headers(), msg.Data(), nil
	}
	stored, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return c.messages.GetMsg(ctx, meta.Sequence.Stream)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return msg.Headers(), msg.Data(), nil
	}
	if err != nil {
		return nil, nil, err
	}
	return stored.Header, stored.Data, nil
}

// storeOnce stores m unless a message is on its subject: a redelivered message is
// diverted once, at any time later.
func (c *Channel[T]) storeOnce(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	if apiCode(err) == jetstream.JSErrCodeStreamWrongLastSequence { // not isConflict: it is true also while a copy is in process
		return nil
	}
	return err
}
