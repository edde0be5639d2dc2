// Command node-helper is what a node needs besides other people's programs, as one static binary: what its images run,
// how the images are written, and how connections get out of the node's network.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
)

const usage = `usage: node-helper pause
       node-helper show PATH...
       node-helper forward NETWORK:ADDRESS NETWORK:ADDRESS
       node-helper image NAME FILE COMMAND SOURCE=TARGET...`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return errors.New(usage)
	}
	rest := arguments[1:]
	switch {
	case arguments[0] == "pause":
		wait()
		return nil
	case arguments[0] == "show":
		if err := show(os.Stdout, rest); err != nil {
			return err
		}
		wait()
		return nil
	case arguments[0] == "forward" && len(rest) == 2:
		return forward(rest[0], rest[1])
	case arguments[0] == "image" && len(rest) > 3:
		return image(rest[0], rest[1], rest[2], rest[3:])
	}
	return errors.New(usage)
}

// wait returns when somebody asks the process to end. As the first process of a pod it also takes in orphans.
func wait() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if child <= 0 || err != nil {
				break
			}
		}
	}
}

// seen is what a container sees at a path.
type seen struct {
	Kind  string `json:"kind"`
	Major uint64 `json:"major"`
	Minor uint64 `json:"minor"`
	// Text is the beginning of a regular file.
	Text string `json:"text,omitempty"`
	// Written tells whether the container may write to a device.
	Written bool `json:"written"`
}

// show writes one line of JSON with the environment and what is at the paths, which may be patterns.
func show(out io.Writer, patterns []string) error {
	environment := map[string]string{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = value
	}
	found := map[string]seen{}
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			information, err := os.Stat(name)
			if err != nil {
				found[name] = seen{Kind: err.Error()}
				continue
			}
			one := seen{Kind: information.Mode().Type().String()}
			if status, ok := information.Sys().(*syscall.Stat_t); ok {
				one.Major, one.Minor = (status.Rdev>>8)&0xfff, status.Rdev&0xff|(status.Rdev>>12)&^0xff
			}
			if information.Mode()&fs.ModeDevice != 0 {
				one.Written = os.WriteFile(name, []byte("x"), 0) == nil
			} else if information.Mode().IsRegular() {
				text, _ := os.ReadFile(name)
				one.Text = string(text[:min(len(text), 1<<14)])
			}
			found[name] = one
		}
	}
	return json.NewEncoder(out).Encode(map[string]any{"environment": environment, "paths": found})
}

// forward takes connections at one address and hands them on to another. Paths of sockets work across network
// namespaces, so two of these connect them without any change to the network of the host.
func forward(from, to string) error {
	network, address, _ := strings.Cut(from, ":")
	toNetwork, toAddress, _ := strings.Cut(to, ":")
	if network == "unix" {
		if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	for {
		near, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer near.Close()
			far, err := net.Dial(toNetwork, toAddress)
			if err != nil {
				return
			}
			defer far.Close()
			go func() {
				_, _ = io.Copy(far, near)
				far.Close()
				near.Close()
			}()
			_, _ = io.Copy(near, far)
		}()
	}
}

// image writes an image as `ctr images import` takes it: one layer with the files, and folders that a root has.
func image(name, file, command string, files []string) error {
	folders := map[string]bool{"dev": true, "proc": true, "sys": true, "tmp": true, "etc": true, "run": true, "var": true}
	sort.Strings(files)
	for _, entry := range files {
		_, target, ok := strings.Cut(entry, "=")
		if !ok {
			return fmt.Errorf("`%s` is not SOURCE=TARGET", entry)
		}
		for folder := path.Dir(strings.TrimPrefix(target, "/")); folder != "."; folder = path.Dir(folder) {
			folders[folder] = true
		}
	}
	names := make([]string, 0, len(folders))
	for folder := range folders {
		names = append(names, folder)
	}
	sort.Strings(names)
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	for _, folder := range names {
		if err := writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	for _, entry := range files {
		source, target, _ := strings.Cut(entry, "=")
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if err := add(writer, strings.TrimPrefix(target, "/"), 0o755, content); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(layer.Bytes()))
	configuration, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Cmd": strings.Fields(command), "Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	archive := tar.NewWriter(out)
	for _, part := range []struct {
		name    string
		content []byte
	}{{"config.json", configuration}, {"layer.tar", layer.Bytes()}, {"manifest.json", manifest}} {
		if err := add(archive, part.name, 0o644, part.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

func add(writer *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}
