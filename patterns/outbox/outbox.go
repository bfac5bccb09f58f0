package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports a name that cannot be one token of a subject.
	ErrID = errors.New("outbox: bad ID")
	// ErrConfig reports a bad Config field.
	ErrConfig = errors.New("outbox: bad config")
	// ErrMessage reports a message that cannot be published.
	ErrMessage = errors.New("outbox: bad message")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("outbox: Run was already called")
)

// The tables, for your migrations. This package does not create them.
const (
	SQLite = `
CREATE TABLE IF NOT EXISTS outbox (
	id INTEGER PRIMARY KEY AUTOINCREMENT, msg_key TEXT NOT NULL, msg_id TEXT NOT NULL UNIQUE,
	subject TEXT NOT NULL, header TEXT NOT NULL, payload BLOB NOT NULL, published BIGINT);
CREATE INDEX IF NOT EXISTS outbox_unpublished ON outbox (id) WHERE published IS NULL;
CREATE INDEX IF NOT EXISTS outbox_published ON outbox (published) WHERE published IS NOT NULL;` + inbox
	Postgres = `
CREATE TABLE IF NOT EXISTS outbox (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, msg_key TEXT NOT NULL, msg_id TEXT NOT NULL UNIQUE,
	subject TEXT NOT NULL, header TEXT NOT NULL, payload BYTEA NOT NULL, published BIGINT);
CREATE INDEX IF NOT EXISTS outbox_unpublished ON outbox (id) WHERE published IS NULL;
CREATE INDEX IF NOT EXISTS outbox_published ON outbox (published) WHERE published IS NOT NULL;` + inbox
	inbox = `
CREATE TABLE IF NOT EXISTS inbox (
	reader TEXT NOT NULL, msg_id TEXT NOT NULL, taken BIGINT NOT NULL, PRIMARY KEY (reader, msg_id));
CREATE INDEX IF NOT EXISTS inbox_taken ON inbox (taken);`
)

// Put inserts msg into the outbox in tx. It is published after tx commits, or never.
// Messages with one key are published in the order of their Put, if their
// transactions did not overlap; the empty key means no order. Put copies msg. It
// keeps a Nats-Msg-Id, or generates one.
func Put(ctx context.Context, tx *sql.Tx, key string, msg *nats.Msg) error {
	if msg == nil {
		return fmt.Errorf("%w: the message is nil", ErrMessage)
	}
	id := msg.Header.Get(jetstream.MsgIDHeader)
	if id == "" {
		id = rand.Text()
	}
	if err := checkMessage(key, id, msg); err != nil {
		return err
	}
	header, err := json.Marshal(msg.Header)
	if err != nil {
		return fmt.Errorf("outbox: put %s: %w", msg.Subject, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO outbox (msg_key, msg_id, subject, header, payload) VALUES ($1, $2, $3, $4, $5)`,
		key, id, msg.Subject, string(header), append([]byte{}, msg.Data...))
	if err != nil {
		return fmt.Errorf("outbox: put %s: %w", msg.Subject, err)
	}
	return nil
}

func checkMessage(key, id string, msg *nats.Msg) error {
	for token := range strings.SplitSeq(msg.Subject, ".") {
		if token == "" || strings.ContainsAny(token, " \t\r\n*>\x00") {
			return fmt.Errorf("%w: subject %.80q; use tokens without spaces and wildcards", ErrMessage, msg.Subject)
		}
	}
	if strings.ContainsRune(key+id, 0) {
		return fmt.Errorf("%w: key %.80q or ID %.80q contains a NUL", ErrMessage, key, id)
	}
	text := key + id + msg.Subject
	for name, values := range msg.Header {
		text += name + strings.Join(values, "")
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: the key, ID, subject or header of %.80q is not UTF-8; put such bytes into the payload", ErrMessage, msg.Subject)
	}
	return nil
}

// Notify wakes the relay called name. Call it after the commit. If the notification
// is lost, the relay finds the message at its next poll.
func Notify(nc *nats.Conn, name string) error {
	if err := checkID(name); err != nil {
		return err
	}
	if err := nc.Publish(notifySubject(name), nil); err != nil {
		return fmt.Errorf("outbox: notify %s: %w", name, err)
	}
	return nil
}

func notifySubject(name string) string { return "outbox." + name + ".notify" }
