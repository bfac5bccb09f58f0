package perkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publish stores e in the stream of topic, within 10s, and once if it is tried again
// within the stream's window of duplicates. Events of one key may be published in any
// order, and by several: their versions are what counts.
func Publish(ctx context.Context, js jetstream.JetStream, topic string, e Event) error {
	for _, id := range []string{topic, e.Key} {
		if err := checkID(id); err != nil {
			return err
		}
	}
	if e.Version == 0 {
		return fmt.Errorf("%w: versions begin at 1", ErrVersion)
	}
	version := strconv.FormatUint(e.Version, 10)
	m := &nats.Msg{Subject: "perkey." + topic + "." + e.Key, Header: nats.Header{HeaderVersion: {version}}, Data: e.Data}
	for name, values := range e.Header {
		if name != HeaderVersion && !strings.HasPrefix(strings.ToLower(name), "nats-") { // those are orders to another stream
			m.Header[name] = values
		}
	}
	if size, most := m.Size(), js.Conn().MaxPayload(); most > 0 && int64(size) > most {
		return fmt.Errorf("perkey: version %d of %s takes %d bytes; the server takes %d: %w", e.Version, e.Key, size, most, nats.ErrMaxPayload)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(e.Key+"."+version))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w: Provision makes PERKEY_%s", err, topic)
	}
	if err != nil {
		return fmt.Errorf("perkey: publish version %d of %s to %s: %w", e.Version, e.Key, topic, err)
	}
	return nil
}

// read returns the event that a message is.
func read(m jetstream.Msg) (Event, error) {
	e := Event{Key: m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:], Header: m.Headers(), Data: m.Data()}
	v := e.Header.Get(HeaderVersion)
	var err error
	if e.Version, err = strconv.ParseUint(v, 10, 64); err != nil || e.Version == 0 {
		return e, fmt.Errorf("%w: header %s is %.40q; publish with Publish", ErrVersion, HeaderVersion, v)
	}
	return e, nil
}
