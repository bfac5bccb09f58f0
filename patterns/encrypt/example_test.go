package encrypt_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

// An event is published with an encrypted name. After Forget, the stored event is
// unchanged, and the name is unreadable.
func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "LETTERS", Subjects: []string{"letters.*"}})
	if err != nil {
		log.Fatal(err)
	}
	vault, err := encrypt.NewVault(ctx, js, "letter-keys", encrypt.Config{}) // creates the bucket if it does not exist
	if err != nil {
		log.Fatal(err)
	}

	ciphertext, err := vault.Seal(ctx, "customer-7", []byte("Dear Ann"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := js.Publish(ctx, "letters.customer-7", ciphertext); err != nil {
		log.Fatal(err)
	}

	stored, err := stream.GetMsg(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := vault.Open(ctx, "customer-7", stored.Data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)

	if err := vault.Forget(ctx, "customer-7"); err != nil {
		log.Fatal(err)
	}
	_, err = vault.Open(ctx, "customer-7", stored.Data)
	fmt.Println("forgotten:", errors.Is(err, encrypt.ErrForgotten))
	// Output:
	// Dear Ann
	// forgotten: true
}
