package requestreply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// encode returns req as a message that carries the deadline of ctx as a timeout.
func encode(ctx context.Context, subject string, req any) (*nats.Msg, error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	data, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %T to %s: %w", ErrPayload, req, subject, err)
	}
	deadline, _ := ctx.Deadline()
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{HeaderTimeout: {time.Until(deadline).String()}}}, nil
}

// decode returns the value of a reply, or its error.
func decode[Resp any](reply *nats.Msg) (Resp, error) {
	var resp Resp
	code, text := reply.Header.Get(micro.ErrorCodeHeader), reply.Header.Get(micro.ErrorHeader)
	if code != "" || text != "" {
		return resp, &Error{code, text}
	}
	if stream, ok := publishAck(reply.Data); ok {
		return resp, fmt.Errorf("%w: stream %s; use a subject that no stream captures", ErrCaptured, stream)
	}
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return resp, fmt.Errorf("%w: %d bytes into %T: %w", ErrPayload, len(reply.Data), resp, err)
	}
	return resp, nil
}

// publishAck reports whether data is the ack of a stream, or its refusal to store, and
// returns the name of the stream. The reply of a service must not look like one, so
// every field is compared.
func publishAck(data []byte) (stream string, ok bool) {
	if !bytes.HasPrefix(data, []byte(`{"stream":`)) && !bytes.HasPrefix(data, []byte(`{"error":`)) {
		return "", false // decoding again costs more than this
	}
	var ack struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&ack) != nil || ack.Stream == "" {
		return "", false
	}
	return ack.Stream, ack.Sequence > 0 || ack.Error != nil && ack.Error.ErrorCode > 0
}

// checkSubject checks the tokens and the length: the server closes a connection that
// sends a protocol line of more than 4,096 bytes.
func checkSubject(subject string) error {
	const limit = 1024
	if len(subject) > limit {
		return fmt.Errorf("%w: a subject of %d bytes; use at most %d", ErrID, len(subject), limit)
	}
	for token := range strings.SplitSeq(subject, ".") {
		if err := checkID(token); err != nil {
			return fmt.Errorf("%w in subject %.80q", err, subject)
		}
	}
	return nil
}
