// Code generated from internal/shared by make stamp; DO NOT EDIT.

package idempotent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lastMessage returns the last message of a subject, or nil. It reads from the leader
// of the stream. jetstream.Stream reads from any replica, which can miss messages, if
// the stream has AllowDirect.
func lastMessage(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	body := fmt.Appendf(nil, `{"last_by_subj":%q}`, subject)
	reply, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "STREAM.MSG.GET."+stream), body)
	if err != nil {
		return nil, err
	}
	var resp struct {
		Error   *jetstream.APIError
		Message struct {
			jetstream.RawStreamMsg
			Seq  uint64
			Hdrs []byte
		}
	}
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, nil
	}
	if resp.Error != nil {
		return nil, resp.Error
	}
	m := resp.Message.RawStreamMsg
	m.Sequence = resp.Message.Seq
	if len(resp.Message.Hdrs) > 0 {
		m.Header, err = nats.DecodeHeadersMsg(resp.Message.Hdrs)
	}
	return &m, err
}

// apiSubject returns the subject of a JetStream API call, in the domain of js.
func apiSubject(js jetstream.JetStream, call string) string {
	o := js.Options()
	if o.APIPrefix != "" {
		return o.APIPrefix + "." + call
	}
	if o.Domain != "" {
		return "$JS." + o.Domain + ".API." + call
	}
	return "$JS.API." + call
}

// Message is a message as a [Handler] receives it. The handler may change it.
type Message struct {
	ID       string // the last token of the subject
	Subject  string
	Header   nats.Header
	Data     []byte
	Delivery int       // delivery attempt: 1 for the first
	Sequence uint64    // in the stream; 0 without a stream
	Time     time.Time // when it was stored; zero without a stream
}
