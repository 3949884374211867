// Read a Containerfile as BuildKit does, and print as JSON what its linter says, the image's configuration, and the
// commands of its stages. Nothing is pulled: a base image counts as empty.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type emptyImages struct{}

func (emptyImages) ResolveImageConfig(_ context.Context, reference string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return reference, "", []byte(`{"architecture":"amd64","os":"linux"}`), nil
}

type stage struct {
	From string `json:"from"`
	// From the repository; the last is where to.
	Copy [][]string        `json:"copy"`
	Env  map[string]string `json:"env"`
	Run  []string          `json:"run"`
}

type found struct {
	Warnings []lint.Warning `json:"warnings"`
	Image    any            `json:"image"`
	Stages   []stage        `json:"stages"`
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		var result *found
		if result, err = read(text); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(result)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(text []byte) (*found, error) {
	ctx := context.Background()
	platform := ocispecs.Platform{Architecture: "amd64", OS: "linux"}
	options := dockerfile2llb.ConvertOpt{MetaResolver: emptyImages{}, TargetPlatform: &platform}
	options.SourceMap = llb.NewSourceMap(nil, os.Args[1], "Dockerfile", text)
	options.SourceMap.Definition = &llb.Definition{}
	linted, err := dockerfile2llb.DockerfileLint(ctx, text, options)
	if err != nil {
		return nil, err
	}
	if linted.Error != nil {
		return nil, fmt.Errorf("%s", linted.Error.Message)
	}
	converted, err := dockerfile2llb.Dockerfile2LLB(ctx, text, dockerfile2llb.ConvertOpt{MetaResolver: emptyImages{}, TargetPlatform: &platform})
	if err != nil {
		return nil, err
	}
	stages, err := stagesOf(text)
	return &found{Warnings: linted.Warnings, Image: converted.Image, Stages: stages}, err
}

func stagesOf(text []byte) ([]stage, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	read, _, err := instructions.Parse(parsed.AST, nil)
	stages := make([]stage, 0, len(read))
	for _, one := range read {
		made := stage{From: one.BaseName, Copy: [][]string{}, Env: map[string]string{}, Run: []string{}}
		for _, command := range one.Commands {
			switch command := command.(type) {
			case *instructions.CopyCommand:
				if command.From == "" {
					made.Copy = append(made.Copy, append(command.SourcePaths, command.DestPath))
				}
			case *instructions.EnvCommand:
				for _, pair := range command.Env {
					made.Env[pair.Key] = pair.Value
				}
			case *instructions.RunCommand:
				made.Run = append(made.Run, command.CmdLine...)
			}
		}
		stages = append(stages, made)
	}
	return stages, err
}
